# Three views on ImageNet-LT and iNaturalist (BCL, ProCo): a cosine classifier learns from one, 1024-d projections of
# the others are compared. A config gives the head its contrast_loss.
model = dict(
    type="TwoViewClassifier",
    num_views=3,
    backbone=dict(type="ResNet", depth=50, num_stages=4, out_indices=(3,), style="pytorch", zero_init_residual=False),
    projector=dict(
        type="NonLinearNeck",
        in_channels=2048,
        hid_channels=2048,
        out_channels=1024,
        with_bias=True,
        with_last_bias=True,
        with_last_bn=False,
        with_avg_pool=False,
        norm_cfg=dict(type="BN1d"),
        init_cfg=dict(type="TorchDefaultInit", layer="Linear"),
    ),
    projection_dim=1024,
    head=dict(type="ContrastCosineHead", num_classes=1000, in_channels=2048, scale=30.0),
)
