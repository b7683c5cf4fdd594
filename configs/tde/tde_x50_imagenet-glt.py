_base_ = "../ce/ce_x50_imagenet-glt.py"
model = dict(head=dict(_delete_=True, type="TDEHead", num_classes=1000, in_channels=2048, alpha=2.0, momentum=0.995))
# Classes are balanced in :alt, and predictions as they are.
variants = dict(alt=dict(model=dict(head=dict(alpha=0.0))))
