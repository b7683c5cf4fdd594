_base_ = "./lcreg_r32_cifar10-lt100.py"
previous_stage = dict(cfg_options=dict(model=dict(head=dict(num_latents=60))))
model = dict(head=dict(num_latents=60))
