# MetaSAug of a whole network: images of each class are taken out of the training data before, as meta set, and
# covariances are learned on it late in the training. A config takes the parts, since it replaces those of its base.
metasaug = dict(
    model=dict(
        type="MetaSAugClassifier",
        head=dict(type="MetaSAugHead", loss=dict(_delete_=True, type="MetaSAugLoss", lambda_0=0.75, switch_from=160)),
    ),
    train_dataloader=dict(
        batch_size=100,
        dataset=dict(meta_per_class=10),
        sampler=dict(_delete_=True, type="PartSampler", sampler=dict(type="DefaultSampler", shuffle=True)),
        batch_sampler=dict(
            type="CompanionBatchSampler", companions=[dict(type="DefaultSampler", shuffle=True, part=1)]
        ),
    ),
    # lr 0.1 without warm-up, x0.01 as the 160th and the 180th epoch begin.
    optim_wrapper=dict(optimizer=dict(nesterov=True, weight_decay=5e-4)),
    param_scheduler=[dict(type="MultiStepLR", by_epoch=True, milestones=[159, 179], gamma=0.01)],
    custom_hooks=[dict(type="CovarianceHook"), dict(type="MetaStepHook")],
)
