# VS: the logits of rarer classes are scaled down by (n_c / n_max)^0.05, and shifted by their log-priors.
_base_ = "../ce/ce_r32_cifar100-lt.py"
model = dict(head=dict(loss=dict(_delete_=True, type="VectorScalingLoss", gamma=0.05, tau=1.0, weight_power=0.25)))
# :adrw-tla trains the last 40 epochs with weights by a power of the counts (ADRW), and without the factors (TLA).
variants = {
    "lt10": dict(model=dict(head=dict(loss=dict(tau=0.5, weight_power=0.1)))),
    "adrw-tla": dict(
        model=dict(
            head=dict(loss=dict(switch_from=160, late_tau=0.75, class_weight="inverse_power", reweight_from=160))
        )
    ),
    "cdt": dict(model=dict(head=dict(loss=dict(gamma=0.15, tau=0.0)))),
}
