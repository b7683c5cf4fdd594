# Post-hoc stage, without training: nearest class mean of centred, normalised features of the training images.
stage2 = dict(
    train_cfg=dict(_delete_=True, type="PosthocLoop", method="ncm", max_epochs=1),
    param_scheduler=[],
)
