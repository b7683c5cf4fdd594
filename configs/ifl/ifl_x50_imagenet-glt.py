_base_ = ["../ce/ce_x50_imagenet-glt.py", "../_base_/ifl.py"]
model = _base_.ifl.glt.model
train_dataloader = _base_.ifl.glt.train_dataloader
custom_hooks = _base_.ifl.glt.custom_hooks
auto_scale_lr = _base_.ifl.glt.auto_scale_lr
# :momentum is for those who do not compare with published numbers, which are of SGD without it.
variants = dict(**_base_.ifl.glt.variants, momentum=dict(optim_wrapper=dict(optimizer=dict(momentum=0.9))))
