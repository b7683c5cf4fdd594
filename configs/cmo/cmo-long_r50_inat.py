_base_ = [
    "../_base_/datasets/inat.py",
    "../_base_/pipelines/paco_imagenet.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/cosine_400e_paco.py",
    "../_base_/default_runtime.py",
    "../_base_/cmo.py",
]
model = dict(
    train_cfg=dict(augments=dict(_base_.cmo, mix_until=397)),
    head=dict(num_classes=8142, loss=dict(_delete_=True, type="BalancedSoftmaxLoss")),
)
train_dataloader = dict(
    batch_size=32, batch_sampler=_base_.uniform_companion, dataset=dict(pipeline=_base_.either_train_pipeline)
)
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
