# GCL: noise on the cosines of rarer classes, on mixed images; then the classifier alone.
_base_ = ["../ce/ce_r32_cifar100-lt.py", "../_base_/stages/gcl.py"]
model = dict(
    head=dict(
        _delete_=True,
        type="CosineClsHead",
        num_classes=100,
        in_channels=64,
        scale=30.0,
        loss=dict(type="GCLLoss", noise_mul=0.5, scale=30.0),
    ),
    train_cfg=dict(augments=dict(type="Mixup", alpha=1.0)),
)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], gamma=0.1)]
train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=64)
