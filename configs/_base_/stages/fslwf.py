# Second stage of FSLwF (Gidaris & Komodakis): on frozen features, the base weights go on and the generator of the other
# classes' weights learns, from four episodes a step, of 5 classes with 5 exemplars and 30 queries; optimiser as
# released. Base are the classes with 20 images or more; 10 epochs, cosine, as other second stages.
stage2 = dict(
    model=dict(
        type="FrozenBackboneClassifier",
        neck=dict(type="GlobalAveragePooling"),
        reuse_head=True,
        head=dict(type="FSLwFHead"),
    ),
    optim_wrapper=dict(
        optimizer=dict(_delete_=True, type="SGD", lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    ),
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=10)],
    train_cfg=dict(max_epochs=10),
    train_dataloader=dict(batch_size=220, sampler=dict(_delete_=True, type="EpisodicSampler")),
    custom_hooks=[dict(type="FewShotWeightHook")],
    auto_scale_lr=dict(base_batch_size=220),
)
