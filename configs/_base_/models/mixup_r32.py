# Plain classifier on mixed images and labels (mixup), CIFAR-LT.
_base_ = "./ce_r32.py"
model = dict(head=dict(loss=dict(use_soft=True)), train_cfg=dict(augments=dict(type="Mixup", alpha=1.0)))
