_base_ = "../baselines/mislas/mislas_r32_cifar10-lt100_folder_10e_stage1.py"
model = dict(neck=[], head=dict(type="LCRegHead", num_latents=40))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"latent_pool.latents": dict(decay_mult=0.0)}))
custom_hooks = [*_base_.custom_hooks, dict(type="CovarianceHook")]
