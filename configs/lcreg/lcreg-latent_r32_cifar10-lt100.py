_base_ = "./lcreg_r32_cifar10-lt100.py"
previous_stage = dict(config="./lcreg-latent_r32_cifar10-lt100_stage1.py")
