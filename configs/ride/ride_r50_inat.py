_base_ = [
    "../_base_/datasets/inat.py",
    "../_base_/models/experts_r50.py",
    "../_base_/models/number_of_experts.py",
    "../_base_/schedules/experts_inat_100e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    head=dict(
        num_classes=8142,
        loss=dict(
            type="RIDELoss",
            diversity_weight=0.2,
            temperature_spread=0.015,
            class_weight="effective_number",
            reweight_from=80,
        ),
    )
)
num_processes = 8
variants = dict(**_base_.numbers_of_experts)
