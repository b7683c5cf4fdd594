# CMO with CE-DRW: 100 epochs, lr 0.1 at batch 256, warm-up 5, x0.1 after epoch 75, as released.
_base_ = [
    "../_base_/datasets/inat.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/ride_imagenet_100e.py",
    "../_base_/default_runtime.py",
    "../_base_/cmo.py",
]
model = dict(
    train_cfg=dict(augments=dict(_base_.cmo, mix_until=97)),
    head=dict(
        num_classes=8142,
        loss=dict(_delete_=True, type="WeightedCrossEntropyLoss", **dict(_base_.cmo_drw, reweight_from=80)),
    ),
)
train_dataloader = dict(batch_size=32, batch_sampler=_base_.uniform_companion)
optim_wrapper = dict(optimizer=dict(nesterov=False))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.2, by_epoch=True, begin=0, end=5),
    dict(type="MultiStepLR", by_epoch=True, milestones=[75], gamma=0.1),
]
