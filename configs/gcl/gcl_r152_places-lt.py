_base_ = [
    "../_base_/datasets/places-lt.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/cosine_90e.py",
    "../_base_/stages/gcl.py",
    "../_base_/default_runtime.py",
]
# From ImageNet weights; only a new last block learns, and in stage 2 its batch norms are in evaluation mode too.
model = dict(
    backbone=dict(
        type="LastBlockResNet", depth=152, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet152")
    ),
    head=dict(
        _delete_=True,
        type="CosineClsHead",
        num_classes=365,
        in_channels=2048,
        scale=30.0,
        loss=dict(type="GCLLoss", noise_mul=1.0, scale=30.0),
    ),
    train_cfg=dict(augments=dict(type="Mixup", alpha=0.2)),
)
# Without colour jitter.
train_dataloader = dict(dataset=dict(pipeline=[*_base_.train_pipeline[:3], _base_.train_pipeline[-1]]))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.2, by_epoch=True, begin=0, end=5),
    dict(type="MultiStepLR", by_epoch=True, milestones=[60, 80], gamma=0.1),
]
stage2 = dict(model=dict(head=dict(scale=15.0, loss=dict(noise_mul=1.0, scale=15.0))))
