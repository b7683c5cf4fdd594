_base_ = [
    "../_base_/datasets/digits.py",
    "../_base_/pipelines/paco_digits.py",
    "../_base_/schedules/digits_30e.py",
    "../_base_/default_runtime.py",
]
# The narrow network, so that a comparison is one of methods.
kaiming = dict(type="TorchDefaultInit", kaiming_weight=True, layer="Linear")
linear = dict(type="MLPProjector", hidden_channels=128, out_channels=128, num_layers=1, init_cfg=kaiming)
model = dict(
    type="GLMCClassifier",
    backbone=dict(type="CIFARResNet", depth=32),
    neck=dict(type="GlobalAveragePooling"),
    projector=dict(**linear, in_channels=64),
    predictor=dict(**linear, in_channels=128),
    head=dict(type="GLMCHead", num_classes=10, in_channels=64, init_cfg=kaiming),
)
train_dataloader = dict(
    batch_sampler=dict(type="CompanionBatchSampler", companions=[dict(type="ClassBalancedSampler", power=1.0)]),
    dataset=dict(dataset=dict(pipeline=_base_.paco_train_pipeline)),
)
