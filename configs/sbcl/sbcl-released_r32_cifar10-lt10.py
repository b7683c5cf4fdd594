_base_ = "./sbcl_r32_cifar10-lt10.py"
previous_stage = dict(config="./sbcl-released_r32_cifar10-lt10_stage1.py")
