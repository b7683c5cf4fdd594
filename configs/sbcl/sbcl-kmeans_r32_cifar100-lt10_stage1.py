# Without adaptive clustering: plain k-means with as many clusters, of any size.
_base_ = "./sbcl_r32_cifar100-lt10_stage1.py"
custom_hooks = [
    *_base_.custom_hooks[:-2],
    dict(type="ReclusterHook", start=10, interval=10, clustering=dict(min_size=10, balanced=False)),
    dict(type="TemperatureHook"),
]
