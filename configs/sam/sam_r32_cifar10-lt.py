_base_ = "../ce/ce_r32_cifar10-lt.py"
model = dict(head=dict(loss=dict(_delete_=True, type="WeightedCrossEntropyLoss")))
optim_wrapper = dict(type="SAMOptimWrapper", rho=0.1)
variants = dict(
    drw=dict(
        model=dict(head=dict(loss=dict(class_weight="effective_number", reweight_from=160))),
        optim_wrapper=dict(rho=0.5),
    )
)
