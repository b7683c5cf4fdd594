_base_ = [
    "../_base_/datasets/digits.py",
    "../_base_/models/ce_r32.py",
    "../_base_/schedules/digits_30e.py",
    "../_base_/stages/h2t.py",
    "../_base_/default_runtime.py",
]
model = dict(
    head=dict(num_classes=10, loss=dict(use_soft=True)), train_cfg=dict(augments=dict(type="Mixup", alpha=1.0))
)
