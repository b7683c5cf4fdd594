_base_ = ["../ce/ce_r32_digits.py", "../_base_/stages/gcl.py"]
model = dict(
    head=dict(
        _delete_=True,
        type="CosineClsHead",
        num_classes=10,
        in_channels=64,
        scale=30.0,
        loss=dict(type="GCLLoss", noise_mul=0.5, scale=30.0),
    ),
    train_cfg=dict(augments=dict(type="Mixup", alpha=1.0)),
)
