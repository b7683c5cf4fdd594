# PaCo on ImageNet-LT, Places-LT and iNaturalist: queue 8192, 128-d projections, T 0.2, alpha 0.05.
model = dict(
    type='MomentumClassifier',
    backbone=dict(type='ResNet', depth=50, num_stages=4, out_indices=(3,), style='pytorch'),
    projector=dict(
        type='NonLinearNeck',
        in_channels=2048,
        hid_channels=2048,
        out_channels=128,
        with_bias=True,
        with_last_bias=True,
        with_last_bn=False,
        with_avg_pool=False,
        norm_cfg=dict(type='BN1d'),
    ),
    projection_dim=128,
    queue_size=8192,
    momentum=0.999,
    head=dict(
        type='PaCoHead',
        num_classes=1000,
        in_channels=2048,
        loss=dict(type='PaCoLoss', alpha=0.05, beta=1.0, gamma=1.0, temperature=0.2),
    ),
)
