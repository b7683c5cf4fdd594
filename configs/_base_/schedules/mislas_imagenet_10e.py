# MiSLAS's second stage on ImageNet-sized sets: 10 epochs, lr 0.1 at batch 256 for the scales, a twentieth for the
# classifier, cosine.
optim_wrapper = dict(
    optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(custom_keys={"head.fc": dict(lr_mult=0.05)}),
)
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=10)]
train_cfg = dict(by_epoch=True, max_epochs=10, val_interval=1)
val_cfg = dict()
test_cfg = dict()
num_processes = 8
auto_scale_lr = dict(base_batch_size=256)
