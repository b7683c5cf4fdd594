# Linear stage of TSC, KCL and SCL on ImageNet-LT: 40 epochs, lr 10 at batch 2048, x0.1 after epoch 20 and after 30.
optim_wrapper = dict(optimizer=dict(type="SGD", lr=10.0, momentum=0.9, weight_decay=0.0))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[20, 30], gamma=0.1)]
train_cfg = dict(by_epoch=True, max_epochs=40, val_interval=1)
val_cfg = dict()
test_cfg = dict()
num_processes = 8
auto_scale_lr = dict(base_batch_size=2048)
