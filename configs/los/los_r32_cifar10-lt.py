_base_ = [
    "../_base_/datasets/cifar10-lt.py",
    "../_base_/models/ce_r32.py",
    "../_base_/schedules/cifar_200e_decay.py",
    "../_base_/stages/los.py",
    "../_base_/small_images_runtime.py",
]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(batch_size=64)
