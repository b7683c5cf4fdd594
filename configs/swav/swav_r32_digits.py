_base_ = [
    "../_base_/datasets/digits.py",
    "../_base_/pipelines/paco_digits.py",
    "../_base_/models/swav_r32.py",
    "../_base_/schedules/digits_30e.py",
    "../_base_/stages/crt.py",
    "../_base_/default_runtime.py",
]
model = dict(
    algorithm=dict(head=dict(loss=dict(num_prototypes=30, queue_size=256, queue_from=5))),
    head=dict(num_classes=10),
)
small_view = [*_base_.digit_view[:2], dict(type="RandomResizedCrop", scale=16, crop_ratio_range=(0.3, 0.7))]
swav_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="MultiView", num_views=[2, 4], transforms=[_base_.digit_view, small_view]),
    dict(type="PackInputs"),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=swav_train_pipeline)))
# As cRT of the digits.
stage2 = dict(
    optim_wrapper=dict(optimizer=dict(lr=0.1, weight_decay=2e-4)),
    train_dataloader=dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline))),
)
