_base_ = "../ce/ce_x50_mscoco-glt.py"
model = dict(
    head=dict(
        _delete_=True,
        type="CosineClsHead",
        num_classes=29,
        in_channels=2048,
        scale=30.0,
        loss=dict(type="LDAMLoss", max_margin=0.5, scale=30.0, class_weight="effective_number", reweight_from=80),
    )
)
optim_wrapper = dict(optimizer=dict(weight_decay=2e-4))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[80, 90], gamma=0.01)]
