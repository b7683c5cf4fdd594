_base_ = "./lcreg_r32_cifar10-lt100_folder_10e.py"
previous_stage = dict(config="./lcreg-recon_r32_cifar10-lt100_folder_10e_stage1.py")
