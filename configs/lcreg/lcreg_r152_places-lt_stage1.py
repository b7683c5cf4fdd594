# The paper does not give the number of latent categories on Places-LT.
_base_ = "../baselines/mislas/mislas_r152_places-lt_stage1.py"
model = dict(neck=[], head=dict(type="LCRegHead", num_latents=100))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"latent_pool.latents": dict(decay_mult=0.0)}))
custom_hooks = [*_base_.custom_hooks, dict(type="CovarianceHook")]
