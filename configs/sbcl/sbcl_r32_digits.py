_base_ = [
    "../_base_/datasets/digits.py",
    "../_base_/pipelines/paco_digits.py",
    "../_base_/models/scl_r32.py",
    "../_base_/schedules/digits_30e.py",
    "../_base_/stages/ldam-drw.py",
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
    dict(type="ReclusterHook", start=5, interval=5, task=dict(type="SubclassClustering", min_size=10)),
    dict(type="TemperatureHook"),
]
# An epoch has six steps.
stage2 = dict(
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=60, convert_to_iter_based=True)],
    train_cfg=dict(max_epochs=60, val_interval=20),
    train_dataloader=dict(batch_size=64, dataset=dict(dataset=dict(pipeline=_base_.train_pipeline))),
)
