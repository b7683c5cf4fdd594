_base_ = [
    "../_base_/datasets/inat.py",
    "../_base_/pipelines/moco_imagenet.py",
    "../_base_/models/kcl_r50.py",
    "../_base_/schedules/moco_200e_200e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    head=dict(
        num_classes=8142,
        loss=dict(_delete_=True, type="SBCLLoss", temperature=0.07, beta=0.2),
        warmup_loss=dict(type="KCLLoss", num_positives=6, temperature=0.07),
    )
)
train_dataloader = dict(batch_size=32, drop_last=True, dataset=dict(pipeline=_base_.moco_train_pipeline))  # 8 GPUs
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="ReclusterHook", start=200, interval=5, clustering=dict(min_size=20)),
    dict(type="TemperatureHook"),
]
