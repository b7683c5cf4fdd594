# The first half is KCL; the learning rate starts again with SBCL. Both halves see the views of MoCo v2.
_base_ = ["../kcl/kcl_r152_places-lt.py", "../_base_/pipelines/moco_imagenet.py"]
train_dataloader = dict(dataset=dict(pipeline=_base_.moco_train_pipeline))
model = dict(
    head=dict(
        loss=dict(_delete_=True, type="SBCLLoss", temperature=0.07, beta=0.2),
        warmup_loss=dict(type="KCLLoss", num_positives=6, temperature=0.07),
    )
)
param_scheduler = [
    dict(
        type="CosineRestartLR",
        by_epoch=True,
        periods=[15, 15],
        restart_weights=[1, 1],
        eta_min=0,
        convert_to_iter_based=True,
    )
]
custom_hooks = [
    dict(type="ReclusterHook", start=15, interval=5, task=dict(type="SubclassClustering", min_size=20)),
    dict(type="TemperatureHook"),
]
# SBCL's own linear stage: no colour jitter, whole batches only, and each drop an epoch before those of TSC.
plain_pipeline = [transform for transform in _base_.train_pipeline if transform["type"] != "ColorJitter"]
stage2 = dict(
    param_scheduler=[dict(type="MultiStepLR", by_epoch=True, milestones=[19, 29], gamma=0.1)],
    train_dataloader=dict(drop_last=True, dataset=dict(pipeline=plain_pipeline)),
)
