_base_ = "../baselines/scl/scl_r50_imagenet-lt.py"
# SBCL's own linear stage: no colour jitter, whole batches only, and each drop an epoch before those of TSC.
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[19, 29], gamma=0.1)]
train_pipeline = [transform for transform in _base_.train_pipeline if transform["type"] != "ColorJitter"]
train_dataloader = dict(drop_last=True, dataset=dict(pipeline=train_pipeline))
previous_stage = dict(config="./sbcl_r50_imagenet-lt_stage1.py")
