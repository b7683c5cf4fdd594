_base_ = ["../_base_/datasets/cifar100-lt.py", "../_base_/glmc_cifar.py", "../_base_/small_images_runtime.py"]
train_dataloader = dict(
    batch_size=64,
    batch_sampler=_base_.natural_companion,
    dataset=dict(dataset=dict(pipeline=_base_.two_views)),
)
variants = dict(
    lt50=dict(model=dict(consistency_weight=6.0), train_dataloader=_base_.flatter_companion),
    lt10=dict(train_dataloader=_base_.flatter_companion),
    narrow=_base_.narrow,
)
