# Class-balanced focal loss as released, for a linear classifier: sigmoid, weights by the effective number of images.
cb_focal = dict(
    head=dict(
        loss=dict(
            _delete_=True,
            type="SigmoidFocalLoss",
            gamma=1.0,
            class_weight="effective_number",
            weight_beta=0.9999,
            normalize_by="batch",
        ),
        # Each class starts at the probability 1 / C, or training by sigmoid may diverge.
        init_cfg=[
            dict(type="TorchDefaultInit", kaiming_weight=True, layer="Linear"),
            dict(type="RareEventBiasInit", layer="Linear"),
        ],
    ),
    optim_wrapper=dict(paramwise_cfg=dict(custom_keys={"head.fc.bias": dict(decay_mult=0.0)})),
)
