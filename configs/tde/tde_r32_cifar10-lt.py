# TDE: normalised classifier of two heads; prediction removes the mean direction of the features.
_base_ = [
    "../_base_/datasets/cifar10-lt.py",
    "../_base_/models/ce_r32.py",
    "../_base_/schedules/tde_200e.py",
    "../_base_/small_images_runtime.py",
]
train_dataloader = dict(batch_size=256)
model = dict(head=dict(_delete_=True, type="TDEHead", num_classes=10, in_channels=64, alpha=1.0))
# :deconfound is the classifier alone.
variants = dict(deconfound=dict(model=dict(head=dict(alpha=0.0))))
