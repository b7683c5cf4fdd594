# BBN as compared in the IFL paper, as on ImageNet-GLT.
_base_ = [
    "../_base_/datasets/mscoco-glt.py",
    "../_base_/models/bbn_r50.py",
    "../_base_/schedules/glt_100e.py",
    "../_base_/default_runtime.py",
]
model = dict(head=dict(bias=False, num_classes=29))
train_dataloader = dict(batch_sampler=_base_.reversed_companion)
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[60, 80], gamma=0.1)]
