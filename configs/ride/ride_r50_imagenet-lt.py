_base_ = [
    "../_base_/datasets/imagenet-lt.py",
    "../_base_/models/experts_r50.py",
    "../_base_/models/number_of_experts.py",
    "../_base_/schedules/ride_imagenet_100e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    head=dict(
        loss=dict(
            type="RIDELoss",
            diversity_weight=0.2,
            temperature_spread=0.02,
            class_weight="effective_number",
            reweight_from=80,
        )
    )
)
train_dataloader = dict(batch_size=32)
variants = dict(**_base_.numbers_of_experts)
