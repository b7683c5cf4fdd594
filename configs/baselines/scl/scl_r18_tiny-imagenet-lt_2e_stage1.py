_base_ = [
    "../../_base_/datasets/tiny-imagenet-lt.py",
    "../../_base_/pipelines/simclr_tiny-imagenet.py",
    "../../_base_/models/scl_r18.py",
    "../../_base_/schedules/simclr_2e.py",
    "../../_base_/default_runtime.py",
]
train_dataloader = dict(batch_size=128, drop_last=True, dataset=dict(pipeline=_base_.simclr_train_pipeline))
