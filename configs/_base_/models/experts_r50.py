# Three experts of ResNet-50: stem and two stages shared, cosine classifiers. Those of RIDE and SADE have 3/4 of the
# channels in the two other stages.
model = dict(
    type="ImageClassifier",
    backbone=dict(
        type="MultiExpertResNet",
        depth=50,
        num_experts=3,
        shared_stages=2,
        expert_width=0.75,
        style="pytorch",
        zero_init_residual=False,
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="MultiExpertHead",
        num_classes=1000,
        in_channels=1536,
        num_experts=3,
        expert=dict(type="CosineClsHead", scale=30.0),
    ),
)
