# BCL on ImageNet-LT and iNaturalist: cosines times 30 of the first of three views, 1024-d projections of the others,
# and prototypes of the classes by a projector of the same shape.
torch_default = dict(type="TorchDefaultInit", layer="Linear")
mlp = dict(
    type="NonLinearNeck",
    in_channels=2048,
    hid_channels=2048,
    out_channels=1024,
    with_bias=True,
    with_last_bias=True,
    with_last_bn=False,
    with_avg_pool=False,
    init_cfg=torch_default,
)
model = dict(
    type="TwoViewClassifier",
    num_views=3,
    backbone=dict(type="ResNet", depth=50, num_stages=4, out_indices=(3,), style="pytorch", zero_init_residual=False),
    projector=dict(**mlp, norm_cfg=dict(type="BN1d")),
    projection_dim=1024,
    head=dict(
        type="ContrastCosineHead",
        num_classes=1000,
        in_channels=2048,
        scale=30.0,
        loss=dict(type="LogitAdjustmentLoss", loss_weight=1.0),
        contrast_loss=dict(type="BCLLoss", temperature=0.07),
        contrast_weight=0.35,
        # All classes are in each batch, so that no running statistics are needed.
        prototype_projector=dict(**mlp, norm_cfg=dict(type="BN1d", track_running_stats=False)),
    ),
)
