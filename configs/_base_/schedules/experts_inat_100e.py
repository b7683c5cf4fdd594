# Multi-expert networks on iNaturalist (RIDE, SADE): 100 epochs, lr 0.2 at batch 512, Nesterov, warm-up 5, x0.1 after
# epoch 60 and again after 80.
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.2, momentum=0.9, weight_decay=2e-4, nesterov=True))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.2, by_epoch=True, begin=0, end=5),
    dict(type="MultiStepLR", by_epoch=True, milestones=[60, 80], gamma=0.1),
]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()
num_processes = 4
auto_scale_lr = dict(base_batch_size=512)
