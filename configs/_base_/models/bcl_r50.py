# BCL on ImageNet-LT and iNaturalist: prototypes of the classes by a projector of the shape of the views'.
_base_ = "./three_views_r50.py"
model = dict(
    head=dict(
        loss=dict(type="LogitAdjustmentLoss", loss_weight=1.0),
        contrast_loss=dict(type="BCLLoss", temperature=0.07),
        contrast_weight=0.35,
        # All classes are in each batch, so that no running statistics are needed.
        prototype_projector=dict(_base_.model.projector, norm_cfg=dict(type="BN1d", track_running_stats=False)),
    ),
)
