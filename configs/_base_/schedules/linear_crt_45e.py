# SBCL's linear stage on CIFAR-LT with class-balanced sampling: 45 epochs, batch 128, warm-up 5, cosine.
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=0.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=5, end=45, T_max=40, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=45, val_interval=1)
val_cfg = dict()
test_cfg = dict()
num_processes = 1
auto_scale_lr = dict(base_batch_size=128)
