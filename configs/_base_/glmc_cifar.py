# GLMC on CIFAR-LT, without dataset: two views, a ResNet-32 of 64, 128 and 256 channels, 200 epochs of batch 64, cosine.
# Numbers of an imbalance factor of 100; companions of the power 1 - r, for which images weigh n^-r.
view = [
    dict(type="RandomCrop", crop_size=32, padding=4),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
]
kaiming = dict(type="TorchDefaultInit", kaiming_weight=True, layer="Linear")
linear = dict(type="MLPProjector", hidden_channels=128, out_channels=128, num_layers=1, init_cfg=kaiming)
model = dict(
    type="GLMCClassifier",
    backbone=dict(type="CIFARResNet", depth=32, base_channels=64),
    neck=dict(type="GlobalAveragePooling"),
    projector=dict(**linear, in_channels=256),
    predictor=dict(**linear, in_channels=128),
    head=dict(
        type="GLMCHead",
        num_classes=100,
        in_channels=256,
        loss=dict(
            type="WeightedCrossEntropyLoss", class_weight="inverse_power", weight_power=1.2, normalize_by="batch"
        ),
        init_cfg=kaiming,
    ),
    consistency_weight=4.0,
)
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=5e-3))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=200)]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=10)
val_cfg = dict()
test_cfg = dict()
num_processes = 1
auto_scale_lr = dict(base_batch_size=64)

# What a leaf puts into its train_dataloader.
two_views = [
    dict(type="LoadImage"),
    dict(type="MultiView", num_views=2, transforms=[view]),
    dict(type="PackInputs"),
]
natural_companion = dict(type="CompanionBatchSampler", companions=[dict(type="ClassBalancedSampler", power=1.0)])
flatter_companion = dict(batch_sampler=dict(companions=[dict(type="ClassBalancedSampler", power=0.8)]))
# A variant: the network of the other tables, 0.47 M parameters.
narrow = dict(model=dict(backbone=dict(base_channels=16), projector=dict(in_channels=64), head=dict(in_channels=64)))
