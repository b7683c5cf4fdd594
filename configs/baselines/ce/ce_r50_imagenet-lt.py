_base_ = [
    "../../_base_/datasets/imagenet-lt.py",
    "../../_base_/models/ce_r50.py",
    "../../_base_/schedules/cosine_90e.py",
    "../../_base_/default_runtime.py",
]
