_base_ = [
    "../_base_/datasets/mscoco-glt.py",
    "../_base_/models/experts_r50.py",
    "../_base_/schedules/glt_100e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    backbone=dict(type="MultiExpertResNeXt", groups=32, width_per_group=4),
    head=dict(num_classes=29, loss=dict(type="TADELoss", tau=2.0)),
)
