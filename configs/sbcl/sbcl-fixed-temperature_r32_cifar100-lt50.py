_base_ = "./sbcl_r32_cifar100-lt50.py"
previous_stage = dict(config="./sbcl-fixed-temperature_r32_cifar100-lt50_stage1.py")
