# RIDE with distillation: six experts are trained first, and four learn from them, with a longer warm-up.
_base_ = ["./ride_r32_cifar100-lt.py", "../_base_/stages/ride_distill.py"]
model = dict(backbone=dict(num_experts=6), head=dict(num_experts=6))
stage2 = dict(
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.05, by_epoch=True, begin=0, end=20),
        dict(type="MultiStepLR", by_epoch=True, milestones=[160, 180], gamma=0.01),
    ]
)
# :students3 are three experts in place of four; six experts are those of stage 1 already: no :experts6.
variants = dict(
    _delete_=True,
    **{name: value for name, value in _base_.variants.items() if name != "experts6"},
    students3=dict(
        stage2=dict(
            model=dict(
                backbone=dict(num_experts=3),
                head=dict(num_experts=3, loss=dict(loss_weight=3.0)),
                distill=dict(loss_weight=3.0),
            )
        )
    ),
)
