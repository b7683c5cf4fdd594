_base_ = "../ce/ce_r32_digits.py"
model = dict(head=dict(loss=dict(_delete_=True, type="WeightedCrossEntropyLoss")))
optim_wrapper = dict(type="SAMOptimWrapper", rho=0.1)
# :drw weighs classes in the last fifth, which calls for a larger radius.
variants = dict(
    drw=dict(
        model=dict(head=dict(loss=dict(class_weight="effective_number", reweight_from=24))),
        optim_wrapper=dict(phases=[dict(start=24, rho=0.5)]),
    )
)
