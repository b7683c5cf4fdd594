_base_ = ["../ce/ce_r50_imagenet-lt.py", "../_base_/stages/tau-norm.py"]
# As published: the power is chosen on the validation images.
stage2 = dict(train_cfg=dict(tau="val"))
