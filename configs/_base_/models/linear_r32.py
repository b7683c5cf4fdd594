# Linear stage on frozen features of CIFAR: plain classifier, for class-balanced sampling; statistics frozen too.
model = dict(
    type="FrozenBackboneClassifier",
    backbone=dict(type="CIFARResNet", depth=32),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="LinearClsHead",
        num_classes=100,
        in_channels=64,
        loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
    ),
)
