_base_ = ["../kcl/kcl_r50_imagenet-lt.py", "../_base_/pipelines/moco_imagenet.py", "../_base_/pcl.py"]
train_dataloader = dict(dataset=dict(pipeline=_base_.moco_train_pipeline))
model = _base_.pcl.large.model
optim_wrapper = _base_.pcl.large.optim_wrapper
custom_hooks = _base_.pcl.large.custom_hooks
