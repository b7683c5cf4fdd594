_base_ = ["../ce/ce_r32_cifar100-glt.py", "../_base_/stages/crt.py"]
