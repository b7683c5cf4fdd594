_base_ = [
    "../../_base_/datasets/inat-jitter.py",
    "../../_base_/models/mixup_r50.py",
    "../../_base_/schedules/mixup_imagenet_180e.py",
    "../../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=8142))
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=200)]
train_cfg = dict(max_epochs=200)
train_dataloader = dict(batch_size=32)
