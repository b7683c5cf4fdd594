# RIDE: three experts of three quarters of the width, LDAM-DRW of each, a reward for differing from their mean.
_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/pipelines/rotation_cifar.py",
    "../_base_/models/experts_r32.py",
    "../_base_/models/number_of_experts.py",
    "../_base_/schedules/cifar_200e.py",
    "../_base_/small_images_runtime.py",
]
model = dict(
    head=dict(
        loss=dict(
            type="RIDELoss",
            diversity_weight=0.45,
            temperature_spread=0.05,
            class_weight="effective_number",
            reweight_from=160,
        )
    )
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.rotation_train_pipeline)))
optim_wrapper = dict(optimizer=dict(weight_decay=5e-4, nesterov=True))
# :experts2 and so on are other numbers of experts, :no-diversity their LDAM-DRW losses alone.
variants = {
    **_base_.numbers_of_experts,
    "no-diversity": dict(model=dict(head=dict(loss=dict(diversity_weight=0.0)))),
}
