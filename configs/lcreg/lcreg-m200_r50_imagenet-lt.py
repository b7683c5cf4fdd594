_base_ = "./lcreg_r50_imagenet-lt.py"
previous_stage = dict(cfg_options=dict(model=dict(head=dict(num_latents=200))))
model = dict(head=dict(num_latents=200))
