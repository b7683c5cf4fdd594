_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/balpoe_cifar.py",
    "../_base_/small_images_runtime.py",
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.rotation_train_pipeline)))
# CONFIG.py:long and CONFIG.py:k7: ../_base_/balpoe_cifar.py; CONFIG.py:forward50, ...: test sets of other frequencies.
variants = dict(**_base_.balpoe_variants, **_base_.shifted_tests)
