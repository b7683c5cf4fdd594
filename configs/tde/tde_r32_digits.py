_base_ = "../ce/ce_r32_digits.py"
model = dict(head=dict(_delete_=True, type="TDEHead", num_classes=10, in_channels=64, alpha=1.5))
variants = dict(deconfound=dict(model=dict(head=dict(alpha=0.0))))
