# Cosine classifier with cross-entropy, on the LDAM recipe: LDAM-DRW without margins and class weights.
_base_ = "../ce/ce_r32_cifar100-lt.py"
model = dict(head=dict(_delete_=True, type="CosineClsHead", num_classes=100, in_channels=64, scale=30.0))
# Other scales of the logits.
variants = dict(s10=dict(model=dict(head=dict(scale=10.0))), s16=dict(model=dict(head=dict(scale=16.0))))
