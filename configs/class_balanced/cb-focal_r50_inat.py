# The released recipe: the rate 0.4 of its script is that of 256 images; no decay of batch norms and the last bias.
_base_ = "../ce/ce_r50_inat.py"
model = dict(
    backbone=dict(zero_init_residual=True),
    head=dict(
        loss=dict(
            _delete_=True,
            type="SigmoidFocalLoss",
            gamma=0.5,
            class_weight="effective_number",
            weight_beta=0.999,
            normalize_by="batch",
        ),
        init_cfg=[
            dict(type="Normal", layer="Linear", std=0.01),
            dict(type="RareEventBiasInit", layer="Linear"),
        ],
    ),
)
optim_wrapper = dict(
    optimizer=dict(lr=1.6, nesterov=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys={"head.fc.bias": dict(decay_mult=0.0)}),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type="MultiStepLR", by_epoch=True, milestones=[30, 60, 80], gamma=0.1),
]
train_dataloader = dict(batch_size=128)
auto_scale_lr = dict(base_batch_size=1024)
