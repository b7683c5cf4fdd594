# SAM: the step follows the gradient at the worst weights within 0.2.
_base_ = "../ce/ce_r32_cifar100-lt.py"
model = dict(head=dict(loss=dict(_delete_=True, type="WeightedCrossEntropyLoss")))
optim_wrapper = dict(type="SAMOptimWrapper", rho=0.2)
# :drw weighs classes in the last 40 of 200 epochs, which calls for a larger radius.
variants = dict(
    drw=dict(
        model=dict(head=dict(loss=dict(class_weight="effective_number", reweight_from=160))),
        optim_wrapper=dict(rho=0.8),
    )
)
