_base_ = ["../ride/ride_r32_digits.py", "../_base_/ifl.py"]
model = _base_.ifl.digits.cosine_model
train_dataloader = _base_.ifl.digits.train_dataloader
custom_hooks = _base_.ifl.digits.custom_hooks
auto_scale_lr = _base_.ifl.digits.auto_scale_lr
variants = _base_.ifl.digits.variants
