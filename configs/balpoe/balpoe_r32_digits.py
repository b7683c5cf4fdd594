_base_ = "../tade/tade_r32_digits.py"
model = dict(
    backbone=dict(expert_width=1.0),
    head=dict(in_channels=64, loss=dict(_delete_=True, type="BalPoELoss", tau=(0.0, 1.0, 2.0))),
    train_cfg=dict(augments=dict(type="Mixup", alpha=0.4)),
)
