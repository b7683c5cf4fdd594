# Second stage of MiSLAS: the classifier continues from stage 1 with scaled logits and label-aware smoothing; 10 epochs,
# class-balanced sampling, cosine. The scales learn at the rate of stage 1, the classifier slower; batch sizes are those
# of stage 1.
stage2 = dict(
    model=dict(
        type="FrozenBackboneClassifier",
        neck=dict(type="GlobalAveragePooling"),
        norm_eval=False,
        reuse_head=True,
        head=dict(
            type="LWSClsHead",
            loss=dict(type="LabelAwareSmoothLoss", smooth_head=0.3, smooth_tail=0.0),
        ),
    ),
    optim_wrapper=dict(paramwise_cfg=dict(_delete_=True, custom_keys={"head.fc": dict(lr_mult=0.2)})),
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=10)],
    train_cfg=dict(max_epochs=10),
    train_dataloader=dict(sampler=dict(_delete_=True, type="ClassAwareSampler")),
    custom_hooks=[],
)
