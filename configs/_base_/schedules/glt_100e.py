# The recipe of the GLT benchmarks (arXiv:2207.09504): 100 epochs, lr 0.1 at batch 256, cosine by the epoch, weight
# decay 5e-4; without momentum, which the configs of the released code list but its optimiser, and so its numbers, lack.
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.0, weight_decay=5e-4))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=100)]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=10)
val_cfg = dict()
test_cfg = dict()
num_processes = 1
auto_scale_lr = dict(base_batch_size=256)
