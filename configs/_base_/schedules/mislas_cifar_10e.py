# MiSLAS's second stage on CIFAR-LT: 10 epochs, batch 128, cosine; the scales learn at lr, the classifier slower.
optim_wrapper = dict(
    optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=2e-4),
    paramwise_cfg=dict(custom_keys={"head.fc": dict(lr_mult=0.2)}),
)
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=10)]
train_cfg = dict(by_epoch=True, max_epochs=10, val_interval=1)
val_cfg = dict()
test_cfg = dict()
num_processes = 1
auto_scale_lr = dict(base_batch_size=128)
