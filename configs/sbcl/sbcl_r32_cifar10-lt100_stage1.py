# The released code advises a larger interval than the 10 epochs of CIFAR-100; 50 is our choice.
_base_ = [
    "../_base_/datasets/cifar10-lt100.py",
    "../_base_/pipelines/simclr_cifar.py",
    "../_base_/models/scl_r32.py",
    "../_base_/schedules/simclr_1000e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    head=dict(
        num_classes=10,
        loss=dict(_delete_=True, type="SBCLLoss", temperature=0.1, beta=0.25),
        warmup_loss=dict(type="SupConLoss", temperature=0.1),
    )
)
train_dataloader = dict(batch_size=1024, dataset=dict(dataset=dict(pipeline=_base_.simclr_train_pipeline)))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="ReclusterHook", start=10, interval=50, clustering=dict(min_size=10)),
    dict(type="TemperatureHook"),
]
