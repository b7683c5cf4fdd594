# Stage 1 of SSD on small images: cross-entropy of one view, which is compared with a key and a queue; 128-d, T 0.2.
model = dict(
    type="MomentumClassifier",
    backbone=dict(type="CIFARResNet", depth=32),
    projector=dict(type="MLPProjector", in_channels=64, hidden_channels=64, out_channels=128, num_layers=2),
    projection_dim=128,
    queue_size=10752,
    momentum=0.999,
    compare_batch=False,
    head=dict(
        type="ContrastHead",
        num_classes=100,
        in_channels=64,
        loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
        contrast_loss=dict(type="InstanceContrastLoss", temperature=0.2),
        init_cfg=dict(type="TorchDefaultInit", kaiming_weight=True, layer="Linear"),
    ),
)
