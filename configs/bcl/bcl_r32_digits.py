_base_ = [
    "../_base_/datasets/digits.py",
    "../_base_/pipelines/three_views_digits.py",
    "../_base_/models/bcl_r32.py",
    "../_base_/schedules/digits_30e.py",
    "../_base_/attributes.py",
    "../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(drop_last=True, dataset=dict(dataset=dict(pipeline=_base_.three_views_train_pipeline)))
variants = dict(attributes=_base_.attributes.digits)
