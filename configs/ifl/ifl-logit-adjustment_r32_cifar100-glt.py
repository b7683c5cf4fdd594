_base_ = ["./ifl_r32_cifar100-glt.py", "../_base_/stages/ifl_logit-adjustment.py"]
