_base_ = [
    "../_base_/datasets/digits.py",
    "../_base_/pipelines/paco_digits.py",
    "../_base_/models/scl_r32.py",
    "../_base_/schedules/digits_30e.py",
    "../_base_/stages/ldam-drw.py",
    "../_base_/attributes.py",
    "../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.paco_train_pipeline)))
# An epoch has six steps.
stage2 = dict(
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=60, convert_to_iter_based=True)],
    train_cfg=dict(max_epochs=60, val_interval=20),
    train_dataloader=dict(batch_size=64, dataset=dict(dataset=dict(pipeline=_base_.train_pipeline))),
)
variants = dict(attributes=_base_.attributes.digits)
