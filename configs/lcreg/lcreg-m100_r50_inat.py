_base_ = "./lcreg_r50_inat.py"
previous_stage = dict(cfg_options=dict(model=dict(head=dict(num_latents=100))))
model = dict(head=dict(num_latents=100))
