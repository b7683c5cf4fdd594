# Each half has 15 epochs of six steps.
_base_ = [
    "../_base_/datasets/digits.py",
    "../_base_/pipelines/paco_digits.py",
    "../_base_/models/scl_r32.py",
    "../_base_/schedules/digits_30e.py",
    "../_base_/stages/ldam-drw.py",
    "../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=10, loss=dict(type="KCLLoss", num_positives=6)))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.paco_train_pipeline)))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=True, begin=0, end=3, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=3, end=15, T_max=12, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=15)
linear = dict(
    _base_.stage2,
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=60, convert_to_iter_based=True)],
    train_cfg=dict(max_epochs=60, val_interval=20),
    train_dataloader=dict(batch_size=64, dataset=dict(dataset=dict(pipeline=_base_.train_pipeline))),
)
stage2 = dict(_delete_=True, model=dict(head=dict(loss=dict(type="TSCLoss"))))
stage3 = linear
