_base_ = [
    "../_base_/datasets/digits.py",
    "../_base_/pipelines/paco_digits.py",
    "../_base_/models/byol_r32.py",
    "../_base_/schedules/digits_30e.py",
    "../_base_/stages/crt.py",
    "../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.paco_train_pipeline)))
# As cRT of the digits.
stage2 = dict(
    optim_wrapper=dict(optimizer=dict(lr=0.1, weight_decay=2e-4)),
    train_dataloader=dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline))),
)
