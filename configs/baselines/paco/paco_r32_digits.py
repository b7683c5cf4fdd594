_base_ = [
    "../../_base_/datasets/digits.py",
    "../../_base_/pipelines/paco_digits.py",
    "../../_base_/models/paco_r32.py",
    "../../_base_/schedules/digits_30e.py",
    "../../_base_/default_runtime.py",
]
model = dict(queue_size=256, head=dict(num_classes=10))
train_dataloader = dict(drop_last=True, dataset=dict(dataset=dict(pipeline=_base_.paco_train_pipeline)))
