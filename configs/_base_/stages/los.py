# Second stage of LOS: the classifier of stage 1 goes on with labels that are smoothed almost to uniform ones; natural
# sampling, no weight decay, batch norms in training mode as in the released code; 20 epochs, cosine.
stage2 = dict(
    model=dict(
        type="FrozenBackboneClassifier",
        neck=dict(type="GlobalAveragePooling"),
        norm_eval=False,
        reuse_head=True,
        head=dict(type="LinearHead", loss=dict(type="LabelSmoothLoss", label_smooth_val=0.98, mode="original")),
    ),
    optim_wrapper=dict(optimizer=dict(lr=5e-4, weight_decay=0.0)),
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=20)],
    train_cfg=dict(max_epochs=20),
    custom_hooks=[],
)
