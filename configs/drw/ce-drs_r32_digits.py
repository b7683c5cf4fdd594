_base_ = "../ce/ce_r32_digits.py"
train_dataloader = dict(
    sampler=dict(
        _delete_=True,
        type="DeferredSampler",
        before=dict(type="DefaultSampler", shuffle=True),
        after=dict(type="ClassBalancedSampler"),
        start=24,
    )
)
