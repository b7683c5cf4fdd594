# Stages 2 and 3 of SSD (Li et al.). Stage 2: on the frozen network of stage 1 and its classifier a scale for each class
# learns (LWS), from two images of a class in a row. Stage 3: a network from scratch learns the labels by one classifier
# and the predictions of stage 2 by another.
_base_ = "./lws.py"
stage2 = dict(train_dataloader=dict(sampler=dict(samples_per_class=2)))
stage3 = dict(
    from_scratch=True,
    model=dict(
        type="DistillClassifier",
        teachers=[dict(stage=2)],
        distill=dict(type="KDLoss", temperature=2.0),
        head=dict(type="SelfDistillHead"),
    ),
    train_dataloader=dict(sampler=dict(_delete_=True, type="DefaultSampler", shuffle=True)),
)
# A variant of the configs: the classifier that has learned from the labels predicts.
hard = dict(stage3=dict(model=dict(head=dict(predict_by="hard"))))
