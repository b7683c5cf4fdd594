# Second stage of weight balancing: the classifier of stage 1 goes on with class-balanced cross-entropy, a large weight
# decay and class weights within a ball; natural sampling, batch norms in training mode; 10 epochs, cosine. As released,
# the loss is a mean over images and classes, which makes the decay what it is: loss_weight is 1 / C.
stage2 = dict(
    model=dict(
        type="FrozenBackboneClassifier",
        neck=dict(type="GlobalAveragePooling"),
        norm_eval=False,
        reuse_head=True,
        head=dict(
            type="MaxNormHead",
            loss=dict(
                type="WeightedCrossEntropyLoss",
                class_weight="effective_number",
                normalize_by="batch",
                loss_weight=0.01,
            ),
        ),
    ),
    optim_wrapper=dict(optimizer=dict(lr=0.01, weight_decay=0.1)),
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=10)],
    train_cfg=dict(max_epochs=10),
    custom_hooks=[dict(type="MaxNormHook", threshold=0.1, by_epoch=True)],
)
