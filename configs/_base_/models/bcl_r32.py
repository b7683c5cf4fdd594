# BCL on small images: prototypes of the classes by a projector of the shape of the views'.
_base_ = "./three_views_r32.py"
model = dict(
    head=dict(
        loss=dict(type="LogitAdjustmentLoss", loss_weight=2.0),
        contrast_loss=dict(type="BCLLoss", temperature=0.1),
        contrast_weight=0.6,
        # All classes are in each batch, so that no running statistics are needed.
        prototype_projector=dict(_base_.model.projector, norm_cfg=dict(type="BN1d", track_running_stats=False)),
    ),
)
