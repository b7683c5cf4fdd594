_base_ = [
    "../../_base_/datasets/cifar10-lt100.py",
    "../../_base_/pipelines/paco_cifar.py",
    "../../_base_/models/paco_r32.py",
    "../../_base_/schedules/cifar_400e_paco.py",
    "../../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(drop_last=True, dataset=dict(dataset=dict(pipeline=_base_.paco_train_pipeline)))
