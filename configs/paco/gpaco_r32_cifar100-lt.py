_base_ = "./paco_r32_cifar100-lt.py"
# GPaCo: both views through one encoder, one after the other, with gradient; a projector of three layers without batch
# norm. Its authors ship no CIFAR-LT script; the settings are PaCo's.
model = dict(
    _delete_=True,
    type="TwoViewClassifier",
    backbone=dict(type="CIFARResNet", depth=32),
    projector=dict(type="MLPProjector", in_channels=64, hidden_channels=64, out_channels=32, num_layers=3),
    projection_dim=32,
    separate_passes=True,
    queue_size=1024,
    head=_base_.model.head,
)
