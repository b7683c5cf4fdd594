_base_ = "../mislas/mislas_r152_places-lt.py"
model = dict(neck=[], head=dict(type="LCRegHead", num_latents=100))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"latent_pool.latents": dict(decay_mult=0.0)}))
custom_hooks = [dict(type="CovarianceHook")]
# Latent categories are frozen; the classifier goes on.
stage2 = dict(model=dict(neck=[], head=dict(type="LCRegHead", recon_weight=0, aug_weight=0, learn_scale=True)))
