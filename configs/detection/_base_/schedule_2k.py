# For one GPU: 2,000 iterations of 16 images.
_base_ = "./schedule_24k.py"

param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=2000, milestones=[1500, 1833], gamma=0.1),
]
train_cfg = dict(max_iters=2000, val_interval=2000)
num_processes = 1
