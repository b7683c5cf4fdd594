_base_ = [
    "../_base_/datasets/digits.py",
    "../_base_/models/ce_r32.py",
    "../_base_/schedules/digits_30e.py",
    "../_base_/stages/mislas.py",
    "../_base_/default_runtime.py",
]
model = dict(
    head=dict(num_classes=10, loss=dict(use_soft=True)), train_cfg=dict(augments=dict(type="Mixup", alpha=1.0))
)
# As on CIFAR-LT.
stage2 = dict(
    optim_wrapper=dict(optimizer=dict(lr=0.1, weight_decay=2e-4)),
)
