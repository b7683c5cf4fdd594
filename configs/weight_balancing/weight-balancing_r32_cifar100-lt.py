_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/models/ce_r32.py",
    "../_base_/models/r34_cifar.py",
    "../_base_/schedules/cifar_200e_decay.py",
    "../_base_/stages/weight_balancing.py",
    "../_base_/small_images_runtime.py",
]
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=320)]
train_cfg = dict(max_epochs=320)
train_dataloader = dict(batch_size=64)
variants = dict(r34=_base_.r34)
