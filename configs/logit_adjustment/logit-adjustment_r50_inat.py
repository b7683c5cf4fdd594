_base_ = "../ce/ce_r50_inat.py"
model = dict(head=dict(loss=dict(_delete_=True, type="LogitAdjustmentLoss", tau=1.0)))
