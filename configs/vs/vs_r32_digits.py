_base_ = "../ce/ce_r32_digits.py"
model = dict(head=dict(loss=dict(_delete_=True, type="VectorScalingLoss", gamma=0.05, tau=1.0, weight_power=0.25)))
variants = {
    "adrw-tla": dict(
        model=dict(head=dict(loss=dict(switch_from=24, late_tau=0.75, class_weight="inverse_power", reweight_from=24)))
    ),
    "cdt": dict(model=dict(head=dict(loss=dict(gamma=0.15, tau=0.0)))),
}
