_base_ = ["../ce/ce_r32_cifar100-lt.py", "../_base_/stages/tau-norm.py"]
