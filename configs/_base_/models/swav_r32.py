# SwAV of small images: two views of 32 and four of 16 pixels, three prototypes a class.
model = dict(
    type="SelfSupervisedClassifier",
    backbone=dict(type="CIFARResNet", depth=32),
    algorithm=dict(
        type="SwAV",
        neck=dict(type="SwAVNeck", in_channels=64, hid_channels=512, out_channels=128, norm_cfg=dict(type="BN1d")),
        head=dict(
            type="SwAVHead",
            loss=dict(
                type="SwappedPredictionLoss",
                feat_dim=128,
                num_views=6,
                num_prototypes=300,
                queue_size=3840,
                queue_from=15,
                prototypes_from=1,
            ),
        ),
    ),
    head=dict(type="ProbeHead", num_classes=100, in_channels=64),
)
