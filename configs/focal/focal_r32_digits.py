_base_ = "../ce/ce_r32_digits.py"
model = dict(head=dict(loss=dict(_delete_=True, type="SoftmaxFocalLoss", gamma=1.0)))
variants = dict(drw=dict(model=dict(head=dict(loss=dict(class_weight="effective_number", reweight_from=24)))))
