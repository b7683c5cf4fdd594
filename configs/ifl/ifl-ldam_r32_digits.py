_base_ = "./ifl_r32_digits.py"
model = dict(
    head=dict(
        _delete_=True,
        type="CosineClsHead",
        num_classes=10,
        in_channels=64,
        scale=30.0,
        loss=dict(type="LDAMLoss", max_margin=0.5, scale=30.0, class_weight="effective_number", reweight_from=24),
    ),
    aux_losses=dict(center=dict(distance="cosine"), environments=dict(temperature=30.0)),
)
