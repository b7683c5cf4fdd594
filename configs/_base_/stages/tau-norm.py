# Post-hoc stage, without training: weights of the classifier divided by a power of their length, no bias. tau = 1 makes
# all equally long, and is a choice that looks at no image.
stage2 = dict(
    train_cfg=dict(_delete_=True, type="PosthocLoop", method="tau-norm", tau=1.0, max_epochs=1),
    param_scheduler=[],
)
