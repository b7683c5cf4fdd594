_base_ = [
    "../_base_/datasets/imagenet-lt.py",
    "../_base_/pipelines/three_views_imagenet.py",
    "../_base_/models/three_views_r50.py",
    "../_base_/schedules/cosine_90e.py",
    "../_base_/default_runtime.py",
]
model = dict(head=dict(contrast_loss=dict(type="ProCoLoss", dim=1024, num_classes=1000, temperature=0.07)))
optim_wrapper = dict(optimizer=dict(lr=0.1))
train_dataloader = dict(batch_size=32, drop_last=True, dataset=dict(pipeline=_base_.three_views_train_pipeline))
auto_scale_lr = dict(base_batch_size=256)
# CONFIG.py:long trains 180 epochs, CONFIG.py:x50 a ResNeXt-50 32x4d.
variants = dict(
    long=dict(
        param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=180, convert_to_iter_based=True)],
        train_cfg=dict(max_epochs=180),
    ),
    x50=dict(model=dict(backbone=dict(type="ResNeXt", groups=32, width_per_group=4))),
)
