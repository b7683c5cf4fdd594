_base_ = "../ce/ce_r32_cifar10-lt.py"
model = dict(head=dict(loss=dict(_delete_=True, type="VectorScalingLoss", gamma=0.05, tau=1.0, weight_power=0.15)))
variants = {
    "lt10": dict(model=dict(head=dict(loss=dict(gamma=0.0, weight_power=0.1)))),
    "adrw-tla": dict(
        model=dict(head=dict(loss=dict(switch_from=160, class_weight="inverse_power", reweight_from=160)))
    ),
}
