# Second stage of OLTR: attention over the map in place of the pooling, a memory of class centroids and a cosine
# classifier; all goes on from stage 1, the classifier of which asks the memory. 60 epochs of batch 128, class-aware
# sampling; features and centroids learn ten times slower than the classifier; x0.1 after epochs 20 and 40. A config
# gives the neck its map.
stage2 = dict(
    model=dict(
        type="OLTRClassifier",
        head=dict(
            type="OLTRHead",
            scale=16.0,
            reach=10.0,
            centroid_loss=dict(type="CentroidLoss", margin=10.0, repel_weight=0.01, hinge="batch", weights=0.01),
            loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
        ),
    ),
    optim_wrapper=dict(
        optimizer=dict(_delete_=True, type="SGD", lr=0.1, momentum=0.9, weight_decay=5e-4),
        paramwise_cfg=dict(
            custom_keys={"backbone": dict(lr_mult=0.1), "neck": dict(lr_mult=0.1), "centroids": dict(lr_mult=0.1)}
        ),
    ),
    param_scheduler=[dict(type="MultiStepLR", by_epoch=True, milestones=[20, 40], gamma=0.1)],
    train_cfg=dict(max_epochs=60),
    train_dataloader=dict(batch_size=128, sampler=dict(_delete_=True, type="ClassAwareSampler", samples_per_class=4)),
    auto_scale_lr=dict(base_batch_size=128),
    custom_hooks=[dict(type="CentroidHook")],
)
