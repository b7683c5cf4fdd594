_base_ = "./sbcl_r32_cifar100-lt10.py"
previous_stage = dict(config="./sbcl-released_r32_cifar100-lt10_stage1.py")
