# Of LCReg: latent categories and their augmentation (Table 4).
_base_ = "./lcreg_r50_inat_stage1.py"
model = dict(head=dict(recon_weight=0, num_latents=100))
