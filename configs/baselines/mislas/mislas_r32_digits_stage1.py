_base_ = [
    "../../_base_/datasets/digits.py",
    "../../_base_/models/mixup_r32.py",
    "../../_base_/schedules/digits_30e.py",
    "../../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=10))
