# Post-hoc stage, without training: log-priors of the training set subtracted from the logits, tau = 1, which is Bayes'
# rule for classes of equal frequency.
stage2 = dict(
    train_cfg=dict(_delete_=True, type="PosthocLoop", method="logit-adjustment", max_epochs=1),
    param_scheduler=[],
)
