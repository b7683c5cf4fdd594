# CMO with three experts of RIDE, the row that papers quote; their code is not released.
_base_ = ["../ride/ride_r32_cifar100-lt.py", "../_base_/cmo.py"]
model = dict(train_cfg=dict(augments=_base_.cmo), head=dict(loss=dict(normalize_by="labels")))
train_dataloader = dict(batch_sampler=_base_.uniform_companion)
