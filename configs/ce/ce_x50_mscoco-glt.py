_base_ = [
    "../_base_/datasets/mscoco-glt.py",
    "../_base_/models/glt_x50.py",
    "../_base_/schedules/glt_100e.py",
    "../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=29))
