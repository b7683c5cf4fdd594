_base_ = "./lcreg_r32_cifar10-lt100.py"
previous_stage = dict(config="./lcreg-aug_r32_cifar10-lt100_stage1.py")
