_base_ = [
    "../_base_/datasets/tiny-imagenet-lt.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/cosine_90e.py",
    "../_base_/small_images_runtime.py",
]
num_processes = 4
model = dict(backbone=dict(depth=18), head=dict(num_classes=200, in_channels=512))
train_cfg = dict(val_interval=10)
