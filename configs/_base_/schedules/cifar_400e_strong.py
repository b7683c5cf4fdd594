# The strong recipe for CIFAR-LT: 400 epochs, batch 128, warm-up 10, x0.01 after epoch 320 and again after 360. It
# serves any loss; what changes late, like deferred class weights, does so at epoch 320.
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=2e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=True, begin=0, end=10),
    dict(type="MultiStepLR", by_epoch=True, milestones=[320, 360], gamma=0.01),
]
train_cfg = dict(by_epoch=True, max_epochs=400, val_interval=10)
val_cfg = dict()
test_cfg = dict()
num_processes = 1
auto_scale_lr = dict(base_batch_size=128)

# The warm-up as released (DDC): that of 200 epochs, which reaches 0.1 after 5, goes on to 0.2 after 10 and falls back.
# A variant takes it.
legacy_warmup = dict(
    optim_wrapper=dict(optimizer=dict(lr=0.2)),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.1, by_epoch=True, begin=0, end=10),
        dict(type="MultiStepLR", by_epoch=True, milestones=[10], gamma=0.5),
        dict(type="MultiStepLR", by_epoch=True, milestones=[320, 360], gamma=0.01),
    ],
)
