_base_ = ["../ce/ce_r32_cifar10-lt.py", "../_base_/metasaug.py"]
model = _base_.metasaug.model
train_dataloader = _base_.metasaug.train_dataloader
optim_wrapper = _base_.metasaug.optim_wrapper
param_scheduler = _base_.metasaug.param_scheduler
custom_hooks = _base_.metasaug.custom_hooks
auto_scale_lr = dict(base_batch_size=100)
