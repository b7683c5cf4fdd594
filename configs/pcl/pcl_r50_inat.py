_base_ = ["../kcl/kcl_r50_inat.py", "../_base_/pcl_imagenet.py"]
train_dataloader = _base_.pcl.train_dataloader
model = _base_.pcl.model
optim_wrapper = _base_.pcl.optim_wrapper
custom_hooks = _base_.pcl.custom_hooks
