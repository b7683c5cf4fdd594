# PaCo on CIFAR-LT: queue 1024, 32-d projections, T 0.05, alpha 0.01.
model = dict(
    type='MomentumClassifier',
    backbone=dict(type='ResNetCIFAR32', depth=32),
    projector=dict(
        type='NonLinearNeck',
        in_channels=64,
        hid_channels=64,
        out_channels=32,
        with_bias=True,
        with_last_bias=True,
        with_last_bn=False,
        with_avg_pool=False,
        norm_cfg=dict(type='BN1d'),
    ),
    projection_dim=32,
    queue_size=1024,
    momentum=0.999,
    head=dict(
        type='PaCoHead',
        num_classes=100,
        in_channels=64,
        loss=dict(type='PaCoLoss', alpha=0.01, beta=1.0, gamma=1.0, temperature=0.05),
        init_cfg=dict(type='Kaiming', layer='Linear'),
    ),
)
