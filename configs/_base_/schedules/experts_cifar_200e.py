# Multi-expert networks on CIFAR-LT (SADE, BalPoE): 200 epochs, batch 128, Nesterov, x0.1 after epoch 160 and again
# after 180.
_base_ = "./cifar_200e.py"
optim_wrapper = dict(optimizer=dict(weight_decay=5e-4, nesterov=True))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.2, by_epoch=True, begin=0, end=5),
    dict(type="MultiStepLR", by_epoch=True, milestones=[160, 180], gamma=0.1),
]
