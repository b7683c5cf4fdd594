# Without warm-up: subclasses from the first epoch on.
_base_ = "./sbcl_r32_cifar100-lt50_stage1.py"
custom_hooks = [
    *_base_.custom_hooks[:-2],
    dict(type="ReclusterHook", start=0, interval=10, clustering=dict(min_size=10)),
    dict(type="TemperatureHook"),
]
