_base_ = "../ce/ce_r32_digits.py"
model = dict(
    backbone=dict(num_experts=3, expert_width=0.75),
    head=dict(
        _delete_=True,
        type="MultiExpertHead",
        num_classes=10,
        in_channels=48,
        num_experts=3,
        expert=dict(type="CosineClsHead", scale=30.0),
        loss=dict(
            type="RIDELoss",
            diversity_weight=0.2,
            temperature_spread=0.05,
            class_weight="effective_number",
            reweight_from=24,
        ),
    ),
)
optim_wrapper = dict(optimizer=dict(nesterov=True))
