# Second stage of SHIKE: new cosine classifiers of the three experts on frozen features, by balanced softmax; natural
# sampling, batch norms in training mode; 20 epochs, warm-up 5, cosine. Batch size and optimiser are those of stage 1.
# It serves any network of three experts that were trained for the frequencies of the training set.
stage2 = dict(
    model=dict(
        type="FrozenBackboneClassifier",
        neck=dict(type="GlobalAveragePooling"),
        norm_eval=False,
        head=dict(
            type="MultiExpertHead",
            num_experts=3,
            expert=dict(type="CosineClsHead", scale=30.0),
            # The sum over three experts of cross-entropy with log-priors, which BalPoELoss averages.
            loss=dict(type="BalPoELoss", tau=(1.0, 1.0, 1.0), loss_weight=3.0),
        ),
    ),
    optim_wrapper=dict(optimizer=dict(lr=0.1)),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.375, by_epoch=True, begin=0, end=6),
        dict(type="CosineAnnealingLR", by_epoch=True, begin=5, end=20, T_max=15),
    ],
    train_cfg=dict(max_epochs=20),
    custom_hooks=[],
)
