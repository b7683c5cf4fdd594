_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/models/ce_r32.py",
    "../_base_/models/r34_cifar.py",
    "../_base_/schedules/cifar_200e_decay.py",
    "../_base_/stages/los.py",
    "../_base_/small_images_runtime.py",
]
train_dataloader = dict(batch_size=64)
variants = dict(r34=_base_.r34)
