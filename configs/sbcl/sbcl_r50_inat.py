_base_ = "../baselines/scl/scl_r50_inat.py"
# SBCL's own linear stage: whole batches only, and each drop an epoch before those of TSC.
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[19, 29], gamma=0.1)]
train_dataloader = dict(drop_last=True)
previous_stage = dict(config="./sbcl_r50_inat_stage1.py")
