# 200 epochs of KCL, 200 of TSC with a new optimiser, then the linear classifier with the paper's learning rate.
_base_ = "../kcl/kcl_r50_inat.py"
stage2 = dict(_delete_=True, model=dict(head=dict(loss=dict(type="TSCLoss"))))
stage3 = dict(_base_.stage2, optim_wrapper=dict(optimizer=dict(_base_.stage2.optim_wrapper.optimizer, lr=30.0)))
