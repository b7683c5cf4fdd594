_base_ = [
    "../_base_/datasets/cifar100-lt100_folder.py",
    "../_base_/pipelines/simclr_cifar.py",
    "../_base_/models/scl_r32.py",
    "../_base_/schedules/simclr_1000e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    head=dict(
        loss=dict(_delete_=True, type="SBCLLoss", temperature=0.1, beta=0.25),
        warmup_loss=dict(type="SupConLoss", temperature=0.1),
    )
)
train_dataloader = dict(batch_size=1024, dataset=dict(dataset=dict(pipeline=_base_.simclr_train_pipeline)))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="ReclusterHook", start=10, interval=10, clustering=dict(min_size=10)),
    dict(type="TemperatureHook"),
]
