_base_ = "../ce/ce_r50_inat.py"
model = dict(head=dict(loss=dict(_delete_=True, type="SoftmaxFocalLoss", gamma=1.0)))
