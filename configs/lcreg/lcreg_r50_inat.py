_base_ = "../baselines/mislas/mislas_r50_inat.py"
previous_stage = dict(config="./lcreg_r50_inat_stage1.py")
# Latent categories are frozen; the classifier goes on.
model = dict(
    neck=[],
    head=dict(type="LCRegHead", num_latents=200, recon_weight=0, aug_weight=0, learn_scale=True),
)
