# BBN of 90 epochs; :long has 180. Either learns as if it ended at the next 100 epochs.
_base_ = ["../_base_/datasets/inat.py", "../_base_/models/bbn_r50.py", "../_base_/default_runtime.py"]
model = dict(head=dict(num_classes=8142, horizon=10 / 9))
train_dataloader = dict(batch_size=128, batch_sampler=_base_.reversed_companion)
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.05, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[60, 80], gamma=0.1)]
train_cfg = dict(by_epoch=True, max_epochs=90, val_interval=1)
val_cfg = dict()
test_cfg = dict()
num_processes = 1
auto_scale_lr = dict(base_batch_size=128)
variants = dict(
    long=dict(
        train_cfg=dict(max_epochs=180),
        param_scheduler=[dict(type="MultiStepLR", by_epoch=True, milestones=[120, 160], gamma=0.1)],
    )
)
