_base_ = ["../ce/ce_r32_digits.py", "../_base_/stages/crt.py"]
# As on CIFAR-LT.
stage2 = dict(optim_wrapper=dict(optimizer=dict(lr=0.1, weight_decay=2e-4)))
