_base_ = [
    "../_base_/datasets/cifar10-lt.py",
    "../_base_/pipelines/autoaugment_cifar.py",
    "../_base_/models/ce_r32.py",
    "../_base_/schedules/cifar_400e_strong.py",
    "../_base_/small_images_runtime.py",
]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.autoaugment_train_pipeline)))
optim_wrapper = dict(type="SAMOptimWrapper", rho=0.1, optimizer=dict(weight_decay=1e-4))
variants = dict(
    released={**_base_.legacy_warmup, "optim_wrapper": {**_base_.legacy_warmup.optim_wrapper, "bn": "legacy"}}
)
