# MoCo's protocol: 24,000 iterations of 16 images, 0.02 times 0.1 after 18,000 and 22,000, linear warm-up over 100.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0),  # detectron2's default
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=24000, milestones=[18000, 22000], gamma=0.1),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=24000, val_interval=24000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
num_processes = 8
auto_scale_lr = dict(base_batch_size=16)
