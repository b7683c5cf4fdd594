_base_ = [
    "../../_base_/datasets/cifar10-lt100.py",
    "../../_base_/pipelines/simclr_cifar.py",
    "../../_base_/models/scl_r32.py",
    "../../_base_/schedules/simclr_1000e.py",
    "../../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(batch_size=1024, dataset=dict(dataset=dict(pipeline=_base_.simclr_train_pipeline)))
