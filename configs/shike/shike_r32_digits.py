_base_ = ["../ce/ce_r32_digits.py", "../_base_/stages/shike.py"]
model = dict(
    backbone=dict(_delete_=True, type="SHIKEResNet", depth=32, num_experts=3),
    head=dict(
        _delete_=True,
        type="MultiExpertHead",
        num_classes=10,
        in_channels=64,
        num_experts=3,
        expert=dict(type="CosineClsHead", scale=30.0),
        loss=dict(type="SHIKELoss", reduction="elementmean"),
    ),
)
