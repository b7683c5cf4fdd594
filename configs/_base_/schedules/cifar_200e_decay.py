# CIFAR-LT with a large weight decay, which makes features of LOS and weight balancing: 200 epochs, lr 0.01 at batch 64,
# cosine, no warm-up.
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=5e-3))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=200)]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=10)
val_cfg = dict()
test_cfg = dict()
num_processes = 1
auto_scale_lr = dict(base_batch_size=64)
