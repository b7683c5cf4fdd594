_base_ = [
    "../_base_/datasets/digits.py",
    "../_base_/pipelines/paco_digits.py",
    "../_base_/models/scl_r32.py",
    "../_base_/schedules/digits_30e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    head=dict(
        num_classes=10,
        loss=dict(_delete_=True, type="SBCLLoss", temperature=0.1, beta=0.25),
        warmup_loss=dict(type="SupConLoss", temperature=0.1),
    )
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.paco_train_pipeline)))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="ReclusterHook", start=5, interval=5, clustering=dict(min_size=10)),
    dict(type="TemperatureHook"),
]
