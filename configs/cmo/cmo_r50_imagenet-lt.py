# CMO with balanced softmax: 100 epochs, lr 0.1 at batch 256, warm-up 5, x0.1 after epoch 60 and again after 80.
_base_ = [
    "../_base_/datasets/imagenet-lt.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/ride_imagenet_100e.py",
    "../_base_/default_runtime.py",
    "../_base_/cmo.py",
]
model = dict(
    train_cfg=dict(augments=dict(_base_.cmo, mix_until=97)),
    head=dict(loss=dict(_delete_=True, type="BalancedSoftmaxLoss")),
)
train_dataloader = dict(batch_size=32, batch_sampler=_base_.uniform_companion)
optim_wrapper = dict(optimizer=dict(nesterov=False))
