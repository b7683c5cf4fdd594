_base_ = ["../ce/ce_r32_digits.py", "../_base_/stages/los.py"]
optim_wrapper = dict(optimizer=dict(weight_decay=5e-3))
# As far as on CIFAR-100-LT, where stage 2 has 28 times as many steps.
stage2 = dict(optim_wrapper=dict(optimizer=dict(lr=0.015)))
