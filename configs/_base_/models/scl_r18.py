# Supervised contrastive pre-training with the stem for large images: both views in the batch, 128-d projections, T 0.1.
_base_ = "./scl_r32.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="ResNet",
        depth=18,
        num_stages=4,
        out_indices=(3,),
        style="pytorch",
        zero_init_residual=False,
    ),
    projector=dict(in_channels=512, hidden_channels=512),
    head=dict(num_classes=200, in_channels=512),
)
