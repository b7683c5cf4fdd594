# 200 epochs of KCL, 200 of TSC with a new optimiser, then the linear classifier.
_base_ = "../kcl/kcl_r50_imagenet-lt.py"
stage2 = dict(_delete_=True, model=dict(head=dict(loss=dict(type="TSCLoss"))))
stage3 = _base_.stage2
# As in the released code: matched anew after each step.
variants = dict(released=dict(stage2=dict(model=dict(head=dict(loss=dict(match="step"))))))
