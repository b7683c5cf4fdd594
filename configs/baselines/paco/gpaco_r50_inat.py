_base_ = './paco_r50_inat.py'
# GPaCo: both views through one encoder with gradient, a projector of three layers without batch norm.
model = dict(
    _delete_=True,
    type='TwoViewClassifier',
    backbone=_base_.model.backbone,
    projector=dict(type='MLPProjector', in_channels=2048, hidden_channels=2048, out_channels=128, num_layers=3),
    projection_dim=128,
    queue_size=8192,
    head=_base_.model.head,
)
optim_wrapper = dict(optimizer=dict(lr=0.04))
