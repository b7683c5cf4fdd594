_base_ = [
    "../ce/ce_r32_cifar10-lt.py",
    "../_base_/pipelines/autoaugment_cifar.py",
    "../_base_/stages/balms.py",
]
# The recipe of the released code, whose length is in steps of :lt200: 13,000 and 2,000 of 512 images. AutoAugment and
# Cutout; lr from 0.05 to 0.1 in 800 steps, then cosine.
train_dataloader = dict(batch_size=512, dataset=dict(dataset=dict(pipeline=_base_.autoaugment_train_pipeline)))
optim_wrapper = dict(optimizer=dict(weight_decay=5e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.5, by_epoch=True, begin=0, end=37),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=37, end=591, T_max=554),
]
train_cfg = dict(max_epochs=591)
auto_scale_lr = dict(base_batch_size=512)
stage2 = dict(param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=96)], train_cfg=dict(max_epochs=96))
variants = dict(lt200=dict(train_dataloader=dict(dataset=dict(imbalance_factor=200))))
