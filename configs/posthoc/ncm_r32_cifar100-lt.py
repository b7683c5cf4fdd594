_base_ = ["../ce/ce_r32_cifar100-lt.py", "../_base_/stages/ncm.py"]
