# MiSLAS's second stage on ImageNet-sized sets.
model = dict(
    type="FrozenBackboneClassifier",
    backbone=dict(type="ResNet", depth=50, num_stages=4, out_indices=(3,), style="pytorch", zero_init_residual=False),
    neck=dict(type="GlobalAveragePooling"),
    norm_eval=False,
    reuse_head=True,
    head=dict(
        type="LWSClsHead",
        num_classes=1000,
        in_channels=2048,
        loss=dict(type="LabelAwareSmoothLoss", num_classes=1000, smooth_head=0.3, smooth_tail=0.0),
    ),
)
