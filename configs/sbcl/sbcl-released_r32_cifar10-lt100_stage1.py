# The settings of the released code, where they differ from the paper: see docs/sbcl.md.
_base_ = "./sbcl_r32_cifar10-lt100_stage1.py"
model = dict(head=dict(loss=dict(base_temperature=0.07)))
custom_hooks = [
    *_base_.custom_hooks[:-2],
    dict(
        type="ReclusterHook",
        start=10,
        interval=50,
        clustering=dict(min_size=10, max_iters=35, balanced=False, rounding="down", start="random"),
    ),
    dict(type="TemperatureHook", mode="linear"),
]
