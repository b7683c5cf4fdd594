# MiSLAS's second stage on CIFAR-LT: the classifier goes on from stage 1 with scaled logits and label-aware smoothing.
model = dict(
    type="FrozenBackboneClassifier",
    backbone=dict(type="CIFARResNet", depth=32),
    neck=dict(type="GlobalAveragePooling"),
    norm_eval=False,
    reuse_head=True,
    head=dict(
        type="LWSClsHead",
        num_classes=100,
        in_channels=64,
        loss=dict(type="LabelAwareSmoothLoss", num_classes=100, smooth_head=0.3, smooth_tail=0.0),
    ),
)
