_base_ = [
    "../../_base_/datasets/imagenet-lt.py",
    "../../_base_/models/mixup_r50.py",
    "../../_base_/schedules/mixup_imagenet_180e.py",
    "../../_base_/default_runtime.py",
]
train_dataloader = dict(batch_size=32)
