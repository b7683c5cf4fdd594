_base_ = "../ce/ce_r32_cifar100-lt.py"
train_dataloader = dict(
    sampler=dict(
        _delete_=True,
        type="DeferredSampler",
        before=dict(type="DefaultSampler", shuffle=True),
        after=dict(type="ClassBalancedSampler"),
        start=160,
    )
)
