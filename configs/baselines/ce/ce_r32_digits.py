_base_ = [
    "../../_base_/datasets/digits.py",
    "../../_base_/pipelines/paco_digits.py",
    "../../_base_/models/ce_r32.py",
    "../../_base_/schedules/digits_30e.py",
    "../../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=10))
# The augmentation of PaCo and LPA, so that a comparison is one of methods.
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=[dict(type="LoadImage"), *_base_.digit_view, dict(type="PackInputs")]))
)
