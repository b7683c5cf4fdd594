_base_ = [
    "../../_base_/datasets/cifar100-lt100.py",
    "../../_base_/models/mixup_r32.py",
    "../../_base_/schedules/mixup_cifar_200e.py",
    "../../_base_/default_runtime.py",
]
