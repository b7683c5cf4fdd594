# SBCL on ImageNet-sized images, as the settings of KCL that it changes. The first half is KCL; the learning rate starts
# again with SBCL. A config takes the parts, since it replaces those of its base.
_base_ = "./pipelines/moco_imagenet.py"
sbcl = dict(
    train_dataloader=dict(dataset=dict(pipeline=_base_.moco_train_pipeline)),  # both halves see the views of MoCo v2
    model=dict(
        head=dict(
            loss=dict(_delete_=True, type="SBCLLoss", temperature=0.07, beta=0.2),
            warmup_loss=dict(type="KCLLoss", num_positives=6, temperature=0.07),
        )
    ),
    param_scheduler=[
        dict(
            type="CosineRestartLR",
            by_epoch=True,
            periods=[200, 200],
            restart_weights=[1, 1],
            eta_min=0,
            convert_to_iter_based=True,
        )
    ],
    train_cfg=dict(max_epochs=400),
    custom_hooks=[
        dict(type="ReclusterHook", start=200, interval=5, task=dict(type="SubclassClustering", min_size=20)),
        dict(type="TemperatureHook"),
    ],
    # SBCL's own linear stage: whole batches only, and each drop an epoch before those of TSC.
    stage2=dict(
        param_scheduler=[dict(type="MultiStepLR", by_epoch=True, milestones=[19, 29], gamma=0.1)],
        train_dataloader=dict(drop_last=True),
    ),
)
