_base_ = [
    "../_base_/datasets/cifar10-lt.py",
    "../_base_/balpoe_cifar.py",
    "../_base_/small_images_runtime.py",
]
model = dict(head=dict(num_classes=10), train_cfg=dict(augments=dict(alpha=0.8)))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.rotation_train_pipeline)))
variants = dict(**_base_.balpoe_variants, **_base_.shifted_tests)
