_base_ = "../baselines/ce/ce_r32_digits.py"
model = dict(backbone=dict(depth=20))
train_dataloader = dict(batch_size=32)
