# Second stage of GCL: the classifier goes on from stage 1, on class-balanced and mixed batches, with a margin and a
# focal modulator; batch norm statistics frozen; 30 epochs, cosine. Batch size and weight decay are those of stage 1.
stage2 = dict(
    model=dict(
        type="FrozenBackboneClassifier",
        neck=dict(type="GlobalAveragePooling"),
        reuse_head=True,
        head=dict(
            type="CosineClsHead",
            scale=20.0,
            loss=dict(type="GCLLoss", noise_mul=0.5, margin=0.1, scale=20.0, gamma=1.0),
        ),
        train_cfg=dict(augments=dict(type="Mixup", alpha=1.0)),
    ),
    optim_wrapper=dict(optimizer=dict(lr=0.002)),
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=30)],
    train_cfg=dict(max_epochs=30),
    train_dataloader=dict(sampler=dict(_delete_=True, type="ClassBalancedSampler")),
    custom_hooks=[],
)
