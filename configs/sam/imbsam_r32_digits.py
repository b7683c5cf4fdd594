_base_ = "../ce/ce_r32_digits.py"
model = dict(head=dict(loss=dict(_delete_=True, type="WeightedCrossEntropyLoss")))
optim_wrapper = dict(type="ImbSAMOptimWrapper", rho=0.05, tail_threshold=20, tail_weight=2.0)
