# Of LCReg: latent categories alone (Table 4).
_base_ = "./lcreg_r50_inat_stage1.py"
model = dict(head=dict(recon_weight=0, aug_weight=0, num_latents=100))
custom_hooks = _base_.custom_hooks[:-1]  # there are no covariances to update
