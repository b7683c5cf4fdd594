# CIFAR schedule of BBN: 200 epochs, batch 128, warm-up from a third over 5 epochs, x0.01 after epoch 120 and again
# after 160.
_base_ = "./cifar_200e.py"
param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 3, by_epoch=True, begin=0, end=6),
    dict(type="MultiStepLR", by_epoch=True, milestones=[120, 160], gamma=0.01),
]
