_base_ = [
    "../_base_/datasets/cifar100-glt.py",
    "../_base_/models/ce_r32.py",
    "../_base_/schedules/glt_100e.py",
    "../_base_/small_images_runtime.py",
]
# Small batches with momentum, as on the other small images.
optim_wrapper = dict(optimizer=dict(momentum=0.9))
auto_scale_lr = dict(base_batch_size=128)
