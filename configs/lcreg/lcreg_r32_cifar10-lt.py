_base_ = "../mislas/mislas_r32_cifar10-lt.py"
model = dict(neck=[], head=dict(type="LCRegHead", num_latents=40))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"latent_pool.latents": dict(decay_mult=0.0)}))
custom_hooks = [dict(type="CovarianceHook")]
# Latent categories are frozen; the classifier goes on.
stage2 = dict(model=dict(neck=[], head=dict(type="LCRegHead", recon_weight=0, aug_weight=0, learn_scale=True)))
variants = dict(
    # Table 4: latent categories alone, with their augmentation, with reconstruction
    latent=dict(model=dict(head=dict(recon_weight=0, aug_weight=0)), custom_hooks=[]),
    aug=dict(model=dict(head=dict(recon_weight=0))),
    recon=dict(model=dict(head=dict(aug_weight=0)), custom_hooks=[]),
    # Table 3
    **{f"m{number}": dict(model=dict(head=dict(num_latents=number))) for number in (20, 30, 50, 60)},
)
