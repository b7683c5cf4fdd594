_base_ = [
    "../_base_/datasets/digits.py",
    "../_base_/models/linear_ldam_r32.py",
    "../_base_/schedules/linear_ldam_10e.py",
    "../_base_/default_runtime.py",
]
previous_stage = dict(config="./sbcl_r32_digits_stage1.py")
model = dict(head=dict(num_classes=10, loss=dict(num_classes=10)))
# An epoch has six steps.
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=60, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=60, val_interval=20)
custom_hooks = [*_base_.custom_hooks, dict(type="DeferredReweightHook", start=0)]
