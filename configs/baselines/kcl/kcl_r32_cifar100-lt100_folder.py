_base_ = "../scl/scl_r32_cifar100-lt100_folder.py"
previous_stage = dict(config="./kcl_r32_cifar100-lt100_folder_stage1.py")
