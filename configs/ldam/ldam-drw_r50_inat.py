_base_ = "../ce/ce_r50_inat.py"
model = dict(
    head=dict(
        _delete_=True,
        type="CosineClsHead",
        num_classes=8142,
        in_channels=2048,
        scale=30.0,
        loss=dict(type="LDAMLoss", max_margin=0.5, scale=30.0, class_weight="effective_number", reweight_from=72),
    )
)
