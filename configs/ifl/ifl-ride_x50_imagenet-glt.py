# The released code of RIDE + IFL has the weight decay of the benchmarks, 5e-4, where that of RIDE alone has 2e-4.
_base_ = ["../ride/ride_x50_imagenet-glt.py", "../_base_/ifl.py"]
model = _base_.ifl.glt.cosine_model
train_dataloader = _base_.ifl.glt.train_dataloader
custom_hooks = _base_.ifl.glt.custom_hooks
auto_scale_lr = _base_.ifl.glt.auto_scale_lr
optim_wrapper = dict(optimizer=dict(weight_decay=5e-4))
variants = dict(
    **_base_.ifl.glt.variants, mixup=dict(model=dict(train_cfg=dict(augments=dict(type="Mixup", alpha=1.0))))
)
