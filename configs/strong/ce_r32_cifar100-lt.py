# The strong recipe: AutoAugment and Cutout, 400 epochs, flat minima by SAM.
_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/pipelines/autoaugment_cifar.py",
    "../_base_/models/ce_r32.py",
    "../_base_/schedules/cifar_400e_strong.py",
    "../_base_/small_images_runtime.py",
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.autoaugment_train_pipeline)))
optim_wrapper = dict(type="SAMOptimWrapper", rho=0.2, optimizer=dict(weight_decay=1e-4))
# :released warms up to 0.2, and lets running statistics take in both passes of SAM, as the authors' code does.
variants = dict(
    lt10=dict(optim_wrapper=dict(rho=0.1)),
    released={**_base_.legacy_warmup, "optim_wrapper": {**_base_.legacy_warmup.optim_wrapper, "bn": "legacy"}},
)
