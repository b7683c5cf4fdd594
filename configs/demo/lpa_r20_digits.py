_base_ = "../lpa/lpa_r32_digits.py"
# Of 330 steps in all: weights that start larger (Kaiming, fan-out) learn faster than those of the long recipes.
model = dict(
    backbone=dict(depth=20),
    projector=dict(init_cfg=dict(_delete_=True, type="TorchDefaultInit")),
    head=dict(init_cfg=dict(_delete_=True, type="Kaiming", layer="Linear")),
)
train_dataloader = dict(batch_size=32)
variants = dict(_delete_=True)  # it is a ResNet-20
