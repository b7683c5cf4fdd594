_base_ = "../ce/ce_r32_cifar10-lt.py"
model = dict(head=dict(loss=dict(_delete_=True, type="LogitAdjustmentLoss", tau=1.0)))
