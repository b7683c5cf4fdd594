_base_ = [
    "../_base_/datasets/imagenet-lt.py",
    "../_base_/pipelines/paco_imagenet.py",
    "../_base_/models/ce_r50.py",
    "../_base_/default_runtime.py",
]
torch_default = dict(type="TorchDefaultInit", layer="Linear")
linear = dict(type="MLPProjector", hidden_channels=256, out_channels=256, num_layers=1)
model = dict(
    type="GLMCClassifier",
    backbone=dict(type="ResNeXt", groups=32, width_per_group=4),
    projector=dict(**linear, in_channels=2048),
    predictor=dict(**linear, in_channels=256),
    head=dict(
        type="GLMCHead",
        loss=dict(
            _delete_=True,
            type="WeightedCrossEntropyLoss",
            class_weight="inverse_power",
            weight_power=1.0,
            normalize_by="batch",
        ),
        init_cfg=torch_default,
    ),
    consistency_weight=10.0,
)
train_dataloader = dict(
    batch_size=30,
    batch_sampler=dict(type="CompanionBatchSampler", companions=[dict(type="ClassBalancedSampler", power=0.8)]),
    dataset=dict(pipeline=_base_.paco_places_train_pipeline),
)
# Warm-up of 10 epochs, and a cosine that has begun with the last of them.
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=2e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=True, begin=0, end=10),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=9, end=135, T_max=126),
]
train_cfg = dict(by_epoch=True, max_epochs=135, val_interval=1)
val_cfg = dict()
test_cfg = dict()
num_processes = 4
auto_scale_lr = dict(base_batch_size=120)
