_base_ = [
    "../_base_/datasets/inat.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/cosine_180e.py",
    "../_base_/stages/mislas.py",
    "../_base_/default_runtime.py",
]
model = dict(
    head=dict(num_classes=8142, loss=dict(use_soft=True)), train_cfg=dict(augments=dict(type="Mixup", alpha=0.2))
)
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=200)]
train_cfg = dict(max_epochs=200)
# With the colour jitter of ImageNet-LT too.
jitter = dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, backend="cv2")
train_dataloader = dict(
    batch_size=32, dataset=dict(pipeline=[*_base_.train_pipeline[:-1], jitter, _base_.train_pipeline[-1]])
)
stage2 = dict(
    optim_wrapper=dict(paramwise_cfg=dict(custom_keys={"head.fc": dict(lr_mult=0.05)})),
)
