_base_ = [
    "../../_base_/datasets/cifar10-lt100.py",
    "../../_base_/models/linear_ldam_r32.py",
    "../../_base_/schedules/linear_ldam_200e.py",
    "../../_base_/default_runtime.py",
]
previous_stage = dict(config="./kcl_r32_cifar10-lt100_stage1.py")
model = dict(head=dict(num_classes=10, loss=dict(num_classes=10)))
custom_hooks = [*_base_.custom_hooks, dict(type="DeferredReweightHook", start=0)]
