# BYOL of small images.
_mlp = dict(
    type="NonLinearNeck",
    hid_channels=512,
    out_channels=128,
    with_bias=True,
    with_last_bn=False,
    norm_cfg=dict(type="BN1d"),
)
model = dict(
    type="SelfSupervisedClassifier",
    backbone=dict(type="CIFARResNet", depth=32),
    algorithm=dict(
        type="StepBYOL",
        base_momentum=0.01,
        neck=dict(**_mlp, in_channels=64),
        head=dict(
            type="LatentPredictHead",
            loss=dict(type="CosineSimilarityLoss"),
            predictor=dict(**_mlp, in_channels=128, with_avg_pool=False),
        ),
    ),
    head=dict(type="ProbeHead", num_classes=100, in_channels=64),
)
