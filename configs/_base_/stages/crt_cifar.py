# Second stage of SBCL on CIFAR-LT with class-balanced sampling: linear classifier on frozen features, batch norm
# statistics frozen too; 45 epochs of 500 x 100 images, batch 128, warm-up 5, cosine. A variant takes it instead of
# LDAM-DRW.
crt = dict(
    model=dict(
        type="FrozenBackboneClassifier",
        neck=dict(type="GlobalAveragePooling"),
        head=dict(type="LinearHead", loss=dict(type="CrossEntropyLoss", loss_weight=1.0)),
    ),
    optim_wrapper=dict(optimizer=dict(_delete_=True, type="SGD", lr=0.1, momentum=0.9, weight_decay=0.0)),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.1, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
        dict(type="CosineAnnealingLR", by_epoch=True, begin=5, end=45, T_max=40, convert_to_iter_based=True),
    ],
    train_cfg=dict(max_epochs=45),
    train_dataloader=dict(batch_size=128, sampler=dict(_delete_=True, type="ClassAwareSampler", full_length=True)),
    custom_hooks=[],
    auto_scale_lr=dict(base_batch_size=128),
)
