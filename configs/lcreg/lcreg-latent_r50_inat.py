_base_ = "./lcreg_r50_inat.py"
previous_stage = dict(config="./lcreg-latent_r50_inat_stage1.py")
model = dict(head=dict(num_latents=100))
