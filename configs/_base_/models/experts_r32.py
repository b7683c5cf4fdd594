# Three experts of ResNet-32 for CIFAR: stem and first stage shared, cosine classifiers. Those of RIDE and SADE have 3/4
# of the channels in the two other stages.
model = dict(
    type="ImageClassifier",
    backbone=dict(type="CIFARResNet", depth=32, num_experts=3, shared_stages=1, expert_width=0.75),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="MultiExpertHead",
        num_classes=100,
        in_channels=48,
        num_experts=3,
        expert=dict(type="CosineClsHead", scale=30.0),
    ),
)
