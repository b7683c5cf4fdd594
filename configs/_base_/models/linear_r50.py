# Linear stage on frozen features of ImageNet-sized sets: plain classifier, batch norms in training mode (Kang et al.).
model = dict(
    type="FrozenBackboneClassifier",
    backbone=dict(type="ResNet", depth=50, num_stages=4, out_indices=(3,), style="pytorch", zero_init_residual=False),
    neck=dict(type="GlobalAveragePooling"),
    norm_eval=False,
    head=dict(
        type="LinearClsHead",
        num_classes=1000,
        in_channels=2048,
        loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
    ),
)
