_base_ = [
    "../_base_/datasets/inat.py",
    "../_base_/pipelines/paco_imagenet.py",
    "../_base_/pipelines/test_views_imagenet.py",
    "../_base_/models/experts_r50.py",
    "../_base_/schedules/experts_inat_100e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    backbone=dict(expert_width=1.0),
    head=dict(num_classes=8142, in_channels=2048, loss=dict(type="BalPoELoss", tau=(-1.0, 1.0, 3.0))),
    train_cfg=dict(augments=dict(type="Mixup", alpha=0.2)),
)
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=100)]
train_dataloader = dict(batch_size=128)
# CONFIG.py:long is the long recipe: 400 epochs with RandAugment.
variants = dict(
    long=dict(
        train_dataloader=dict(
            dataset=dict(pipeline=[dict(type="LoadImage"), *_base_.randcls_view, dict(type="PackInputs")])
        ),
        param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=400)],
        train_cfg=dict(max_epochs=400),
    )
)
