# Second stage of H2T: the classifier goes on on class-balanced images, a quarter of whose channels come from images of
# natural sampling; batch norms in training mode; 10 epochs, cosine. A batch is that of stage 1 of either kind.
stage2 = dict(
    model=dict(
        type="H2TClassifier",
        neck=dict(type="GlobalAveragePooling"),
        rho=0.25,
        head=dict(type="LinearHead", loss=dict(type="CrossEntropyLoss", loss_weight=1.0)),
    ),
    optim_wrapper=dict(optimizer=dict(lr=0.02)),
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=10)],
    train_cfg=dict(max_epochs=10),
    train_dataloader=dict(
        sampler=dict(_delete_=True, type="ClassBalancedSampler"),
        batch_sampler=dict(type="CompanionBatchSampler", companions=[dict(type="DefaultSampler", shuffle=True)]),
    ),
    custom_hooks=[],
)
