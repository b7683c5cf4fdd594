_base_ = "../ce/ce_r50_inat.py"
model = dict(
    train_cfg=dict(augments=dict(type="Remix", alpha=1.0, kappa=3.0, tau=0.5)),
    head=dict(
        loss=dict(_delete_=True, type="WeightedCrossEntropyLoss", class_weight="effective_number", reweight_from=72)
    ),
)
