_base_ = ["../kcl/kcl_r50_inat.py", "../_base_/sbcl_imagenet.py"]
train_dataloader = _base_.sbcl.train_dataloader
model = _base_.sbcl.model
param_scheduler = _base_.sbcl.param_scheduler
train_cfg = _base_.sbcl.train_cfg
custom_hooks = _base_.sbcl.custom_hooks
stage2 = _base_.sbcl.stage2
