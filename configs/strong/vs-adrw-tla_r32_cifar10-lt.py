_base_ = "./vs_r32_cifar10-lt.py"
model = dict(head=dict(loss=dict(switch_from=320, class_weight="inverse_power", weight_power=0.15, reweight_from=320)))
optim_wrapper = dict(phases=[dict(start=320, rho=0.2)])
variants = dict(
    lt10=dict(model=dict(head=dict(loss=dict(weight_power=0.1))), optim_wrapper=dict(phases=None)),
)
