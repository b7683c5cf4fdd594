_base_ = "../ce/ce_r32_digits.py"
model = dict(head=dict(loss=dict(_delete_=True, type="LogitAdjustmentLoss", tau=1.0)))
optim_wrapper = dict(type="FocalSAMOptimWrapper", rho=0.1, gamma=3.0, scale=0.8)
