# Second stage of MetaSAug on large datasets: the classifier goes on from stage 1 on frozen features, with variances
# learned on a meta set, part 1 of the data that a config joins. 20 epochs at a constant rate.
stage2 = dict(
    model=dict(
        type="FrozenBackboneClassifier",
        neck=dict(type="GlobalAveragePooling"),
        reuse_head=True,
        head=dict(
            type="MetaSAugHead",
            loss=dict(_delete_=True, type="MetaSAugLoss", lambda_0=0.25, covariance="diagonal"),
        ),
    ),
    optim_wrapper=dict(optimizer=dict(lr=3e-4, weight_decay=5e-4, nesterov=True)),
    param_scheduler=[],
    train_cfg=dict(max_epochs=20),
    train_dataloader=dict(
        sampler=dict(_delete_=True, type="PartSampler", sampler=dict(type="DefaultSampler", shuffle=True)),
        batch_sampler=dict(
            type="CompanionBatchSampler", companions=[dict(type="DefaultSampler", shuffle=True, part=1)]
        ),
    ),
    custom_hooks=[dict(type="CovarianceHook"), dict(type="MetaStepHook")],
    num_processes=4,
    auto_scale_lr=dict(base_batch_size=256),
)
