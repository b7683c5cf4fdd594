# Linear stage on frozen features of CIFAR: normalised classifier with LDAM, statistics frozen too.
model = dict(
    type="FrozenBackboneClassifier",
    backbone=dict(type="CIFARResNet", depth=32),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="CosineClsHead",
        num_classes=100,
        in_channels=64,
        scale=30.0,
        loss=dict(type="LDAMLoss", num_classes=100, max_margin=0.5, scale=30.0),
    ),
)
