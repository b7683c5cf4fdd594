# The settings of the released code, where they differ from the paper: see docs/sbcl.md.
_base_ = "./sbcl_r50_imagenet-lt_stage1.py"
model = dict(head=dict(loss=dict(class_temperature=0.12)))  # of all classes: there is no TemperatureHook
custom_hooks = [
    *_base_.custom_hooks[:-2],
    dict(
        type="ReclusterHook",
        start=200,
        interval=5,
        clustering=dict(min_size=20, max_iters=35, balanced=False, rounding="down", start="random"),
    ),
]
