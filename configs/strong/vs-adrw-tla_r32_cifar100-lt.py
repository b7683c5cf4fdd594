# From epoch 320 on: weights by a power of the counts, logit adjustment without the factors of VS, a larger radius.
_base_ = "./vs_r32_cifar100-lt.py"
model = dict(
    head=dict(
        loss=dict(switch_from=320, late_tau=0.75, class_weight="inverse_power", weight_power=0.25, reweight_from=320)
    )
)
optim_wrapper = dict(rho=0.2, phases=[dict(start=320, rho=0.4)])
variants = dict(
    lt10=dict(
        model=dict(head=dict(loss=dict(weight_power=0.1))),
        optim_wrapper=dict(phases=[dict(start=320, rho=0.5)]),
    )
)
