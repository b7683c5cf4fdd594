# A variant of balanced softmax: a first stage with cross-entropy, then as cRT a new classifier on frozen features, with
# batch norms in training mode. The loss balances, so sampling stays natural. 10 epochs, cosine.
decoupled = dict(
    model=dict(head=dict(loss=dict(_delete_=True, type="CrossEntropyLoss", loss_weight=1.0))),
    stage2=dict(
        model=dict(
            type="FrozenBackboneClassifier",
            neck=dict(type="GlobalAveragePooling"),
            norm_eval=False,
            head=dict(
                type="LinearHead",
                loss=dict(type="BalancedSoftmaxLoss"),
                init_cfg=dict(type="TorchDefaultInit", layer="Linear"),
            ),
        ),
        param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=10)],
        train_cfg=dict(max_epochs=10),
        custom_hooks=[],
    ),
)
