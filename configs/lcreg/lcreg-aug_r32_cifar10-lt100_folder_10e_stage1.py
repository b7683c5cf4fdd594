# Of LCReg: latent categories and their augmentation (Table 4).
_base_ = "./lcreg_r32_cifar10-lt100_folder_10e_stage1.py"
model = dict(head=dict(recon_weight=0))
