# Second stage of RIDE, optional: gates learn how many experts an image needs, all else is frozen; 5 epochs of batch
# 512, class-balanced sampling, cosine by the epoch.
stage2 = dict(
    model=dict(type="RoutedClassifier", head=dict()),
    optim_wrapper=dict(
        optimizer=dict(_delete_=True, type="SGD", lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)
    ),
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=5)],
    train_cfg=dict(max_epochs=5, val_interval=1),
    train_dataloader=dict(batch_size=512, sampler=dict(_delete_=True, type="ClassBalancedSampler")),
    val_evaluator=[dict(type="ShotAccuracy"), dict(type="CalibrationError"), dict(type="ExpertUsage")],
    test_evaluator=[dict(type="ShotAccuracy"), dict(type="CalibrationError"), dict(type="ExpertUsage")],
    auto_scale_lr=dict(base_batch_size=512),
    custom_hooks=[],
)
