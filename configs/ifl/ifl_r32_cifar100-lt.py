_base_ = ["../ce/ce_r32_cifar100-lt.py", "../_base_/ifl.py"]
model = _base_.ifl.cifar100_lt.model
train_dataloader = _base_.ifl.cifar100_lt.train_dataloader
custom_hooks = _base_.ifl.cifar100_lt.custom_hooks
auto_scale_lr = _base_.ifl.cifar100_lt.auto_scale_lr
variants = _base_.ifl.cifar100_lt.variants
