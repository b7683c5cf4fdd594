_base_ = [
    "../../_base_/datasets/places-lt.py",
    "../../_base_/models/mixup_r50.py",
    "../../_base_/schedules/mixup_imagenet_180e.py",
    "../../_base_/default_runtime.py",
]
# From ImageNet weights; only a new last block learns.
model = dict(
    backbone=dict(
        type="LastBlockResNet", depth=152, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet152")
    ),
    head=dict(num_classes=365),
)
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=90)]
train_cfg = dict(max_epochs=90)
train_dataloader = dict(batch_size=32)
