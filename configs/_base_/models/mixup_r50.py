# Plain classifier on mixed images and labels (mixup), ImageNet-sized sets.
_base_ = "./ce_r50.py"
model = dict(head=dict(loss=dict(use_soft=True)), train_cfg=dict(augments=dict(type="Mixup", alpha=0.2)))
