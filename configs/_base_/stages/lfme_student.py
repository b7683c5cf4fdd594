# Student of LFME, which learns from the experts of stages 1 to 3, from scratch, on balanced classes.
lfme_student = dict(
    from_scratch=True,
    class_subset=None,
    model=dict(
        type="LFMEClassifier",
        head=dict(type="LinearHead"),
        teachers=[dict(stage=1), dict(stage=2), dict(stage=3)],
        distill=dict(type="LFMELoss", temperature=2.0, decay_from=0.3),
        curriculum=dict(type="InstanceCurriculum", scales="loss"),
    ),
    train_dataloader=dict(sampler=dict(_delete_=True, type="ClassAwareSampler", samples_per_class=4)),
    custom_hooks=[dict(type="LFMEHook")],
)
