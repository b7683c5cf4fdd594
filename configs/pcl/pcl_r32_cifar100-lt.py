# All but the loss and the key encoder is SCL's. Warm-up and clusterings keep the shares of a schedule of 200 epochs.
_base_ = ["../scl/scl_r32_cifar100-lt.py", "../_base_/pcl.py"]
model = dict(_base_.pcl.small, queue_size=4096)
custom_hooks = [dict(type="ReclusterHook", start=100, interval=5, task=dict(type="PrototypeClustering"))]
# With labels in stage 1: attributes are those of classes.
variants = dict(
    attributes=dict(
        model=dict(aux_losses=dict(attribute=dict(temperature=0.2))),
        custom_hooks=[*custom_hooks, *_base_.attributes.cifar_1000e.custom_hooks],
    )
)
