_base_ = "../baselines/scl/scl_r32_cifar100-lt100_folder_10e.py"
previous_stage = dict(config="./sbcl_r32_cifar100-lt100_folder_10e_stage1.py")
