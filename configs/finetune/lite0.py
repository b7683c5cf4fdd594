# EfficientNet-Lite0: a new classifier on frozen features, then the last stage of the backbone with it, at small rates;
# batch norms keep their statistics.
_base_ = "./lite0-head.py"
stage2 = dict(
    model=dict(
        type="ImageClassifier",
        neck=dict(type="GlobalAveragePooling"),
        head=dict(),  # that of the first stage goes on
    ),
    custom_hooks=[],
    train_dataloader=dict(batch_size=32),
    optim_wrapper=dict(
        optimizer=dict(lr=1e-4, weight_decay=0.05),
        constructor="LayerDecayConstructor",
        paramwise_cfg=dict(layer_decay_rate=0.75),
    ),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.01, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
        dict(type="CosineAnnealingLR", by_epoch=True, begin=1, end=5, T_max=4, convert_to_iter_based=True),
    ],
    train_cfg=dict(max_epochs=5, val_interval=1),
)
plain = dict(model=dict(head=dict(_delete_=True, **_base_.linear_head)), custom_hooks=_base_.linear_hooks)
variants = {
    "ema": dict(custom_hooks=_base_.custom_hooks, stage2=dict(custom_hooks=[_base_.variants.ema.custom_hooks[-1]])),
    # A third stage on the features of the trained backbone.
    "crt": dict(
        _delete_=True,
        **_base_.ce,
        stage3=dict(
            model=dict(
                type="FrozenBackboneClassifier",
                neck=dict(type="GlobalAveragePooling"),
                head=dict(type="CosineClsHead", scale=25.0, loss=dict(type="CrossEntropyLoss")),
            ),
            custom_hooks=_base_.custom_hooks,
            train_dataloader=dict(batch_size=128, **_base_.class_aware),
            optim_wrapper=dict(_delete_=True, **_base_.optim_wrapper),
            param_scheduler=_base_.param_scheduler,
            train_cfg=dict(max_epochs=20, val_interval=5),
        ),
    ),
    "los": dict(_delete_=True, **plain, stage3=_base_.los_stage),
    "tau-norm": dict(_delete_=True, **plain, stage3=_base_.tau_norm_stage),
}
