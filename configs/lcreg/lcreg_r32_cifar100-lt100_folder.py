_base_ = "../baselines/mislas/mislas_r32_cifar100-lt100_folder.py"
previous_stage = dict(config="./lcreg_r32_cifar100-lt100_folder_stage1.py")
# Latent categories are frozen; the classifier goes on.
model = dict(
    neck=[],
    head=dict(type="LCRegHead", num_latents=50, recon_weight=0, aug_weight=0, learn_scale=True),
)
