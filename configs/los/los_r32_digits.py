_base_ = ["../ce/ce_r32_digits.py", "../_base_/stages/los.py"]
optim_wrapper = dict(optimizer=dict(weight_decay=5e-3))
# The rate of stage 2 is that of CIFAR-100-LT: so few steps at a larger one tip over to the rare classes.
