# Second stage of decoupled Balanced Softmax: as cRT, but the loss balances and the sampler does not. A variant takes it
# after a first stage with cross-entropy.
_base_ = "./crt.py"
stage2 = dict(
    model=dict(head=dict(loss=dict(_delete_=True, type="BalancedSoftmaxLoss"))),
    train_dataloader=dict(sampler=dict(_delete_=True, type="DefaultSampler", shuffle=True)),
)
