_base_ = [
    "../_base_/datasets/imagenet-lt.py",
    "../_base_/pipelines/moco_imagenet.py",
    "../_base_/models/moco_r50.py",
    "../_base_/stages/ssd.py",
    "../_base_/default_runtime.py",
]
torch_default = dict(type="TorchDefaultInit", layer="Linear")
model = dict(
    backbone=dict(type="ResNeXt", groups=32, width_per_group=4),
    queue_size=115712,  # the keys of an epoch
    head=dict(
        _delete_=True,
        type="ContrastHead",
        num_classes=1000,
        in_channels=2048,
        loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
        contrast_loss=dict(type="InstanceContrastLoss", temperature=0.2),
        init_cfg=torch_default,
    ),
)
# The view to classify is that of plain training, its key is of MoCo's.
views = dict(type="MultiView", num_views=[1, 1], transforms=[_base_.train_pipeline[1:-1], _base_.moco_view])
train_dataloader = dict(
    batch_size=32,
    drop_last=True,
    dataset=dict(pipeline=[dict(type="LoadImage"), views, dict(type="PackInputs")]),
)
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=5e-4))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=135)]
train_cfg = dict(by_epoch=True, max_epochs=135, val_interval=1)
val_cfg = dict()
test_cfg = dict()
num_processes = 8
auto_scale_lr = dict(base_batch_size=256)

stage2 = dict(
    optim_wrapper=dict(optimizer=dict(lr=0.2)),
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=5)],
    train_cfg=dict(max_epochs=5),
    train_dataloader=dict(batch_size=64, dataset=dict(pipeline=_base_.train_pipeline)),
    auto_scale_lr=dict(base_batch_size=512),
)
stage3 = dict(
    model=dict(head=dict(init_cfg=torch_default)),
    optim_wrapper=optim_wrapper,
    param_scheduler=param_scheduler,
    train_cfg=dict(max_epochs=135),
    train_dataloader=dict(batch_size=32),
    auto_scale_lr=auto_scale_lr,
)
# CONFIG.py:hard tests the other classifier of the same run.
variants = dict(hard=_base_.hard)
