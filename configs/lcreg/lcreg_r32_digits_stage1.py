_base_ = "../baselines/mislas/mislas_r32_digits_stage1.py"
model = dict(neck=[], head=dict(type="LCRegHead", num_latents=20))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"latent_pool.latents": dict(decay_mult=0.0)}))
custom_hooks = [*_base_.custom_hooks, dict(type="CovarianceHook")]
