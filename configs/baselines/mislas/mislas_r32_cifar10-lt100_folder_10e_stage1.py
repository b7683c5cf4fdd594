_base_ = [
    "../../_base_/datasets/cifar10-lt100_folder.py",
    "../../_base_/models/mixup_r32.py",
    "../../_base_/schedules/mixup_cifar_10e.py",
    "../../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=10))
