_base_ = ["./ifl_r32_cifar100-glt.py", "../_base_/stages/crt.py"]
stage2 = _base_.ifl.cifar100_glt.stage2
