_base_ = ["../kcl/kcl_r152_places-lt.py", "../_base_/sbcl_imagenet.py"]
train_dataloader = _base_.sbcl.train_dataloader
model = _base_.sbcl.model
# 30 epochs in place of 400.
param_scheduler = [dict(_base_.sbcl.param_scheduler[0], periods=[15, 15])]
custom_hooks = [dict(_base_.sbcl.custom_hooks[0], start=15), _base_.sbcl.custom_hooks[1]]
# Without colour jitter.
plain_pipeline = [transform for transform in _base_.train_pipeline if transform["type"] != "ColorJitter"]
stage2 = dict(
    _base_.sbcl.stage2,
    train_dataloader=dict(_base_.sbcl.stage2.train_dataloader, dataset=dict(pipeline=plain_pipeline)),
)
