# RandAugment as on the other CIFAR configs.
_base_ = ["./ifl_r32_cifar100-glt.py", "../_base_/pipelines/randaugment_cifar.py"]
train_dataloader = dict(dataset=dict(pipeline=_base_.randaugment_train_pipeline))
