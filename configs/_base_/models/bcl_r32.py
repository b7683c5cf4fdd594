# BCL on small images: a linear classifier of the first of three views, 128-d projections of the two others, and
# prototypes of the classes by a projector of the same shape.
torch_default = dict(type="TorchDefaultInit", layer="Linear")
mlp = dict(
    type="NonLinearNeck",
    in_channels=64,
    hid_channels=512,
    out_channels=128,
    with_bias=True,
    with_last_bias=True,
    with_last_bn=False,
    with_avg_pool=False,
    init_cfg=torch_default,
)
model = dict(
    type="TwoViewClassifier",
    num_views=3,
    backbone=dict(type="CIFARResNet", depth=32),
    projector=dict(**mlp, norm_cfg=dict(type="BN1d")),
    projection_dim=128,
    head=dict(
        type="ContrastHead",
        num_classes=100,
        in_channels=64,
        loss=dict(type="LogitAdjustmentLoss", loss_weight=2.0),
        contrast_loss=dict(type="BCLLoss", temperature=0.1),
        contrast_weight=0.6,
        # All classes are in each batch, so that no running statistics are needed.
        prototype_projector=dict(**mlp, norm_cfg=dict(type="BN1d", track_running_stats=False)),
        init_cfg=torch_default,
    ),
)
