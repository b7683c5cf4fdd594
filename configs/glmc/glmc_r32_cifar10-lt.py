_base_ = ["../_base_/datasets/cifar10-lt.py", "../_base_/glmc_cifar.py", "../_base_/small_images_runtime.py"]
# Pixels normalised by those of CIFAR-10, RGB (.4914, .4822, .4465) and (.2470, .2435, .2616).
data_preprocessor = dict(std=[62.9932, 62.0887, 66.7049])
model = dict(head=dict(num_classes=10), consistency_weight=1.0)
train_dataloader = dict(
    batch_size=64,
    batch_sampler=_base_.natural_companion,
    dataset=dict(dataset=dict(pipeline=_base_.two_views)),
)
variants = dict(
    lt10=dict(
        model=dict(head=dict(loss=dict(weight_power=1.0)), consistency_weight=2.0),
        train_dataloader=_base_.flatter_companion,
    ),
    narrow=_base_.narrow,
)
