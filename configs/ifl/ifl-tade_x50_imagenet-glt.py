_base_ = ["../tade/tade_x50_imagenet-glt.py", "../_base_/ifl.py"]
model = _base_.ifl.glt.model
train_dataloader = _base_.ifl.glt.train_dataloader
custom_hooks = _base_.ifl.glt.custom_hooks
auto_scale_lr = _base_.ifl.glt.auto_scale_lr
variants = _base_.ifl.glt.variants
