_base_ = './gpaco_r50_imagenet-lt.py'
model = dict(backbone=dict(type='ResNeXt', groups=32, width_per_group=4), head=dict(loss=dict(alpha=0.05)))
optim_wrapper = dict(optimizer=dict(lr=0.06))
