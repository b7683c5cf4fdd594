# SBCL's linear stage on CIFAR-LT with LDAM-DRW: 200 epochs, batch 128, warm-up 5, x0.1 after epoch 140 and again after
# 180.
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=0.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.2, by_epoch=True, begin=0, end=5),
    dict(type="MultiStepLR", by_epoch=True, milestones=[140, 180], gamma=0.1),
]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=1)
val_cfg = dict()
test_cfg = dict()
num_processes = 1
auto_scale_lr = dict(base_batch_size=128)
