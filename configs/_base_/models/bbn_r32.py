# ResNet-32 of BBN: all but the last block are shared by two branches, whose features one linear layer classifies.
model = dict(
    type="BBNClassifier",
    backbone=dict(type="CIFARResNet", depth=32, num_experts=2, shared_stages=2, shared_blocks=-1),
    head=dict(
        type="BBNHead",
        num_classes=100,
        in_channels=64,
        loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
    ),
)
# The batch_sampler of the second branch; the released code leaves out the last, smaller batch of an epoch.
reversed_companion = dict(
    type="CompanionBatchSampler", companions=[dict(type="ClassBalancedSampler", power=-1.0)], drop_last=True
)
