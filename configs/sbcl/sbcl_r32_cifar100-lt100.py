_base_ = "../baselines/scl/scl_r32_cifar100-lt100.py"
previous_stage = dict(config="./sbcl_r32_cifar100-lt100_stage1.py")
