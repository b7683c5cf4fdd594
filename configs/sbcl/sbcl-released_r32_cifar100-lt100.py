_base_ = "./sbcl_r32_cifar100-lt100.py"
previous_stage = dict(config="./sbcl-released_r32_cifar100-lt100_stage1.py")
