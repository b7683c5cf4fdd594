# ProCo's trainer on CIFAR-LT: 200 epochs, lr 0.3 at batch 256, warm-up 5, x0.1 after epoch 160 and again after 180.
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.3, momentum=0.9, weight_decay=2e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.2, by_epoch=True, begin=0, end=5),
    dict(type="MultiStepLR", by_epoch=True, milestones=[160, 180], gamma=0.1),
]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=10)
val_cfg = dict()
test_cfg = dict()
num_processes = 1
auto_scale_lr = dict(base_batch_size=256)

# Its 400 epochs, which a config takes as its variant `long`: warm-up 10, and drops after 360 and 380.
long = dict(
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.1, by_epoch=True, begin=0, end=10),
        dict(type="MultiStepLR", by_epoch=True, milestones=[360, 380], gamma=0.1),
    ],
    train_cfg=dict(max_epochs=400),
)
