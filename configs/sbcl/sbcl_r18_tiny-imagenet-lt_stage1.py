_base_ = "../baselines/scl/scl_r18_tiny-imagenet-lt_stage1.py"
model = dict(
    head=dict(
        loss=dict(_delete_=True, type="SBCLLoss", temperature=0.1, beta=0.25),
        warmup_loss=dict(type="SupConLoss", temperature=0.1),
    )
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="ReclusterHook", start=10, interval=10, clustering=dict(min_size=10)),
    dict(type="TemperatureHook"),
]
