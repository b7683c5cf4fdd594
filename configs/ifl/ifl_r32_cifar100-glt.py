_base_ = ["../ce/ce_r32_cifar100-glt.py", "../_base_/ifl.py"]
model = _base_.ifl.cifar100_glt.model
train_dataloader = _base_.ifl.cifar100_glt.train_dataloader
custom_hooks = _base_.ifl.cifar100_glt.custom_hooks
auto_scale_lr = _base_.ifl.cifar100_glt.auto_scale_lr
variants = _base_.ifl.cifar100_glt.variants
