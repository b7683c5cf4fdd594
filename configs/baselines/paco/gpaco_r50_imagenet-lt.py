_base_ = './paco_r50_imagenet-lt.py'
# GPaCo: both views through one encoder with gradient, a projector of three layers without batch norm.
model = dict(
    _delete_=True,
    type='TwoViewClassifier',
    backbone=_base_.model.backbone,
    projector=dict(type='MLPProjector', in_channels=2048, hidden_channels=2048, out_channels=128, num_layers=3),
    projection_dim=128,
    queue_size=8192,
    head=dict(type='PaCoHead', num_classes=1000, in_channels=2048, loss=dict(type='PaCoLoss', alpha=0.045, temperature=0.2)),
)
optim_wrapper = dict(optimizer=dict(lr=0.04))
train_dataloader = dict(dataset=dict(pipeline=_base_.randcls_randclsstack_pipeline))
