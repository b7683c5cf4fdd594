_base_ = [
    "../_base_/datasets/imagenet-lt.py",
    "../_base_/byol_imagenet.py",
    "../_base_/stages/crt_imagenet.py",
    "../_base_/default_runtime.py",
]
train_dataloader = dict(batch_size=64, drop_last=True, dataset=dict(pipeline=_base_.byol_train_pipeline))
stage2 = dict(
    sync_bn=None,
    optim_wrapper=dict(accumulative_counts=1, paramwise_cfg=None),
    train_dataloader=dict(dataset=dict(pipeline=_base_.train_pipeline)),
)
