# Of LCReg: latent categories alone (Table 4).
_base_ = "./lcreg_r32_cifar10-lt100_folder_10e_stage1.py"
model = dict(head=dict(recon_weight=0, aug_weight=0))
custom_hooks = _base_.custom_hooks[:-1]  # there are no covariances to update
