# Second stage of SBCL on CIFAR-LT: normalised linear classifier on frozen features with LDAM-DRW, batch norm statistics
# frozen too; 200 epochs, batch 128, warm-up 5, x0.1 after epoch 140 and again after 180.
stage2 = dict(
    model=dict(
        type="FrozenBackboneClassifier",
        neck=dict(type="GlobalAveragePooling"),
        head=dict(
            type="CosineClsHead",
            scale=30.0,
            loss=dict(type="LDAMLoss", max_margin=0.5, scale=30.0, class_weight="effective_number"),
        ),
    ),
    optim_wrapper=dict(optimizer=dict(_delete_=True, type="SGD", lr=0.1, momentum=0.9, weight_decay=0.0)),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.2, by_epoch=True, begin=0, end=5),
        dict(type="MultiStepLR", by_epoch=True, milestones=[140, 180], gamma=0.1),
    ],
    train_cfg=dict(max_epochs=200),
    train_dataloader=dict(batch_size=128),
    custom_hooks=[],
    auto_scale_lr=dict(base_batch_size=128),
)
