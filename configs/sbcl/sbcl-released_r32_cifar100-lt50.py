_base_ = "./sbcl_r32_cifar100-lt50.py"
previous_stage = dict(config="./sbcl-released_r32_cifar100-lt50_stage1.py")
