_base_ = "../scl/scl_r32_cifar10-lt100.py"
previous_stage = dict(config="./kcl_r32_cifar10-lt100_stage1.py")
