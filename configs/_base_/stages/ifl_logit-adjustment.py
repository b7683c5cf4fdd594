# Post-hoc logit adjustment of a model that was trained with IFL: the auxiliary losses stay behind. The prior is that of
# the training set, as in the released code, though the second environment shows each class equally often.
_base_ = "./logit-adjustment.py"
stage2 = dict(
    model=dict(type="ImageClassifier", neck=dict(type="GlobalAveragePooling"), head=dict(type="LinearHead")),
    train_dataloader=dict(batch_sampler=None, sampler=dict(_delete_=True, type="DefaultSampler", shuffle=True)),
    custom_hooks=[],
)
