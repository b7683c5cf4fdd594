_base_ = "../scl/scl_r32_digits.py"
model = dict(
    head=dict(
        loss=dict(_delete_=True, type="SBCLLoss", temperature=0.1, beta=0.25),
        warmup_loss=dict(type="SupConLoss", temperature=0.1),
    )
)
custom_hooks = [
    dict(type="ReclusterHook", start=5, interval=5, task=dict(type="SubclassClustering", min_size=10)),
    dict(type="TemperatureHook"),
]
variants = dict(attributes=dict(custom_hooks=[*custom_hooks, *_base_.attributes.digits.custom_hooks]))
