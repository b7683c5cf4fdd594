# Class-balanced re-sampling in all epochs.
_base_ = ["../ce/ce_r32_cifar100-lt.py", "../_base_/resampling.py"]
train_dataloader = dict(sampler=dict(_delete_=True, type="ClassBalancedSampler"))
variants = _base_.resampling
