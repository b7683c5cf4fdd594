# A short linear stage for a CPU: 10 epochs, batch 128, cosine. Not for comparison with published numbers.
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=0.0))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=10, convert_to_iter_based=True)]
train_cfg = dict(by_epoch=True, max_epochs=10, val_interval=5)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=128)
