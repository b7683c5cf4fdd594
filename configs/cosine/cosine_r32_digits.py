_base_ = "../ce/ce_r32_digits.py"
model = dict(head=dict(_delete_=True, type="CosineClsHead", num_classes=10, in_channels=64, scale=30.0))
variants = dict(s10=dict(model=dict(head=dict(scale=10.0))), s16=dict(model=dict(head=dict(scale=16.0))))
