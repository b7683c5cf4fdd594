_base_ = './paco_r50_imagenet-lt.py'
model = dict(backbone=dict(type='ResNeXt', groups=32, width_per_group=4), head=dict(loss=dict(temperature=0.07)))
train_dataloader = dict(dataset=dict(pipeline=_base_.randclsstack_sim_pipeline))
