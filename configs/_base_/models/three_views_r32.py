# Three views on CIFAR-LT (BCL, ProCo): the classifier learns from one, 128-d projections of the others are compared. A
# config gives the head its contrast_loss.
model = dict(
    type="TwoViewClassifier",
    num_views=3,
    backbone=dict(type="CIFARResNet", depth=32),
    projector=dict(
        type="NonLinearNeck",
        in_channels=64,
        hid_channels=512,
        out_channels=128,
        with_bias=True,
        with_last_bias=True,
        with_last_bn=False,
        with_avg_pool=False,
        norm_cfg=dict(type="BN1d"),
        init_cfg=dict(type="TorchDefaultInit", layer="Linear"),
    ),
    projection_dim=128,
    head=dict(
        type="ContrastHead",
        num_classes=100,
        in_channels=64,
        init_cfg=dict(type="TorchDefaultInit", layer="Linear"),
    ),
)
