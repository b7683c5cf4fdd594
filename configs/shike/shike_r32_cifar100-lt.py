_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/pipelines/autoaugment_cifar.py",
    "../_base_/models/experts_r32.py",
    "../_base_/schedules/cifar_200e.py",
    "../_base_/stages/shike.py",
    "../_base_/small_images_runtime.py",
]
model = dict(
    backbone=dict(_delete_=True, type="SHIKEResNet", depth=32, num_experts=3),
    head=dict(in_channels=64, loss=dict(type="SHIKELoss", reduction="elementmean")),
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.autoaugment_train_pipeline)))
optim_wrapper = dict(optimizer=dict(lr=0.15, weight_decay=5e-4))
# 0.025 to 0.125 in five epochs, then a cosine from 0.15.
param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 6, by_epoch=True, begin=0, end=6),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=5, end=180, T_max=175),
]
train_cfg = dict(max_epochs=180)
