_base_ = [
    "../_base_/datasets/tiny-imagenet-glt.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/glt_100e.py",
    "../_base_/small_images_runtime.py",
]
model = dict(backbone=dict(depth=18), head=dict(num_classes=200, in_channels=512))
# Small batches with momentum, as on the other small images.
optim_wrapper = dict(optimizer=dict(momentum=0.9))
auto_scale_lr = dict(base_batch_size=128)
