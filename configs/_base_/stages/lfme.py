# Learning from multiple experts (LFME): stages 1 to 3 are experts of the many-, medium- and few-shot classes (a config
# gives the first its head, ClassSubsetHead), stage 4 is the student of all three, from scratch, on balanced classes.
class_subset = dict(keep="many")
# Experts fade by the accuracy of the student on validation images; where there are none, a tenth of the training set.
hold_out = dict(val_fraction=0.1, seed=0)
stage2 = dict(from_scratch=True, class_subset=dict(keep="medium"))
stage3 = dict(from_scratch=True, class_subset=dict(keep="few"))
stage4 = dict(
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
