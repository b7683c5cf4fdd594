_base_ = "./mislas_r32_cifar10-lt100_folder.py"
previous_stage = dict(config="./mislas_r32_cifar10-lt100_folder_10e_stage1.py")
train_cfg = dict(val_interval=5)
num_processes = None  # of no published recipe, so with any batch
