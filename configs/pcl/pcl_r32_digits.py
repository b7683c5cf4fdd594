_base_ = ["../scl/scl_r32_digits.py", "../_base_/pcl.py"]
model = dict(_base_.pcl.small, queue_size=256)
optim_wrapper = dict(optimizer=dict(lr=0.1))
custom_hooks = [dict(type="ReclusterHook", start=5, interval=1, task=dict(type="PrototypeClustering"))]
# With labels in stage 1: attributes are those of classes.
variants = dict(
    attributes=dict(
        model=dict(aux_losses=dict(attribute=dict(temperature=0.2))),
        custom_hooks=[*custom_hooks, *_base_.attributes.digits.custom_hooks],
    )
)
