_base_ = "../ce/ce_x50_mscoco-glt.py"
model = dict(head=dict(_delete_=True, type="TDEHead", num_classes=29, in_channels=2048, alpha=1.0, momentum=0.995))
# Classes are balanced in :alt, and predictions as they are.
variants = dict(alt=dict(model=dict(head=dict(alpha=0.0))))
