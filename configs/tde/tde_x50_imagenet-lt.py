_base_ = "../ce/ce_x50_imagenet-lt.py"
model = dict(head=dict(_delete_=True, type="TDEHead", num_classes=1000, in_channels=2048, alpha=3.0))
# :deconfound is the classifier alone.
variants = dict(deconfound=dict(model=dict(head=dict(alpha=0.0))))
