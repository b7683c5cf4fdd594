# CMO with balanced softmax and the schedule of PaCo: 400 epochs, each image by one of PaCo's two augmentations.
_base_ = [
    "../_base_/datasets/imagenet-lt.py",
    "../_base_/pipelines/paco_imagenet.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/cosine_400e_paco.py",
    "../_base_/default_runtime.py",
    "../_base_/cmo.py",
]
model = dict(
    train_cfg=dict(augments=dict(_base_.cmo, mix_until=397)),
    head=dict(loss=dict(_delete_=True, type="BalancedSoftmaxLoss")),
)
train_dataloader = dict(
    batch_size=32, batch_sampler=_base_.uniform_companion, dataset=dict(pipeline=_base_.either_train_pipeline)
)
