_base_ = ["../kcl/kcl_r50_imagenet-lt.py", "../_base_/sbcl_imagenet.py"]
train_dataloader = _base_.sbcl.train_dataloader
model = _base_.sbcl.model
param_scheduler = _base_.sbcl.param_scheduler
train_cfg = _base_.sbcl.train_cfg
custom_hooks = _base_.sbcl.custom_hooks
# Without colour jitter.
plain_pipeline = [transform for transform in _base_.train_pipeline if transform["type"] != "ColorJitter"]
stage2 = dict(
    _base_.sbcl.stage2,
    train_dataloader=dict(_base_.sbcl.stage2.train_dataloader, dataset=dict(pipeline=plain_pipeline)),
)
# The settings of the released code, where they differ from the paper: see docs/sbcl.md. One temperature of all classes.
variants = dict(
    released=dict(
        model=dict(head=dict(loss=dict(class_temperature=0.12))),
        custom_hooks=[
            dict(
                type="ReclusterHook",
                start=200,
                interval=5,
                task=dict(
                    type="SubclassClustering",
                    min_size=20,
                    max_iters=35,
                    balanced=False,
                    rounding="down",
                    start="random",
                ),
            )
        ],
    )
)
