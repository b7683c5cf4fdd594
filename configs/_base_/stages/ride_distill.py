# Second stage of RIDE with distillation: four experts from scratch, which learn from the mean logits of the network of
# stage 1. As released, the loss of RIDE and the distillation count once for each expert: loss_weight is their number.
stage2 = dict(
    from_scratch=True,
    model=dict(
        type="DistillClassifier",
        backbone=dict(num_experts=4),
        head=dict(num_experts=4, loss=dict(loss_weight=4.0)),
        teachers=[dict(stage=1)],
        distill=dict(type="KDLoss", temperature=1.5, loss_weight=4.0),
    ),
)
