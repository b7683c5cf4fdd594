_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/balpoe_cifar.py",
    "../_base_/small_images_runtime.py",
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.rotation_train_pipeline)))
# :long and :experts7, see ../_base_/balpoe_cifar.py; :forward50, ...: test sets of other class frequencies.
variants = dict(**_base_.balpoe_variants, **_base_.shifted_tests)
