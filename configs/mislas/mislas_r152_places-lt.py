_base_ = [
    "../_base_/datasets/places-lt.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/cosine_180e.py",
    "../_base_/stages/mislas.py",
    "../_base_/default_runtime.py",
]
# From ImageNet weights; only a new last block learns, and in stage 2 its batch norms alone are in training mode.
model = dict(
    backbone=dict(
        type="LastBlockResNet", depth=152, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet152")
    ),
    head=dict(num_classes=365, loss=dict(use_soft=True)),
    train_cfg=dict(augments=dict(type="Mixup", alpha=0.2)),
)
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=90)]
train_cfg = dict(max_epochs=90)
train_dataloader = dict(batch_size=32)
stage2 = dict(
    model=dict(head=dict(loss=dict(smooth_head=0.4, smooth_tail=0.1))),
    optim_wrapper=dict(paramwise_cfg=dict(custom_keys={"head.fc": dict(lr_mult=0.05)})),
)
