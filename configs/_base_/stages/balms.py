# Second stage of BALMS: a new classifier on frozen features with balanced softmax, images drawn by weights of classes
# that a meta sampler learns, the meta set class-aware draws from the training set. Batch norms in training mode.
stage2 = dict(
    model=dict(
        type="FrozenBackboneClassifier",
        neck=dict(type="GlobalAveragePooling"),
        norm_eval=False,
        head=dict(
            type="BALMSHead",
            loss=dict(type="BalancedSoftmaxLoss"),
            meta_lr=0.01,
            init_cfg=dict(type="TorchDefaultInit", layer="Linear"),
        ),
    ),
    optim_wrapper=dict(optimizer=dict(lr=0.1)),
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=106)],
    train_cfg=dict(max_epochs=106),
    train_dataloader=dict(
        sampler=dict(_delete_=True, type="MetaSampler"),
        batch_sampler=dict(type="CompanionBatchSampler", companions=[dict(type="ClassAwareSampler")], drop_last=True),
    ),
    custom_hooks=[dict(type="MetaStepHook")],
)
# Of the loader, where the validation images are the meta set: class-aware, twice as many as of the training in a step.
balms_validation = dict(
    sampler=dict(type="PartSampler", sampler=dict(type="MetaSampler")),
    batch_sampler=dict(companions=[dict(type="ClassAwareSampler", part=1)] * 2),
)
