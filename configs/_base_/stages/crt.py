# Second stage of cRT (Kang et al.): a new linear classifier on frozen features, class-aware sampling, batch norms in
# training mode as in the released code; 10 epochs, cosine, batch size and optimiser of stage 1.
stage2 = dict(
    model=dict(
        type="FrozenBackboneClassifier",
        neck=dict(type="GlobalAveragePooling"),
        norm_eval=False,
        head=dict(
            type="LinearHead",
            loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
            init_cfg=dict(type="TorchDefaultInit", layer="Linear"),
        ),
    ),
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=10)],
    train_cfg=dict(max_epochs=10),
    train_dataloader=dict(sampler=dict(_delete_=True, type="ClassAwareSampler")),
    custom_hooks=[],
)
