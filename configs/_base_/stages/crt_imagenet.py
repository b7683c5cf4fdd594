# Second stage of TSC, KCL and SCL on ImageNet-sized datasets: that of cRT (Kang et al.) for 40 epochs, lr 10 at batch
# 2048, x0.1 after epochs 20 and 30; the classifier starts from small normal weights.
_base_ = "./crt.py"
stage2 = dict(
    model=dict(head=dict(init_cfg=None)),
    optim_wrapper=dict(optimizer=dict(_delete_=True, type="SGD", lr=10.0, momentum=0.9, weight_decay=0.0)),
    param_scheduler=[dict(type="MultiStepLR", by_epoch=True, milestones=[20, 30], gamma=0.1)],
    train_cfg=dict(max_epochs=40, val_interval=1),
    train_dataloader=dict(batch_size=256, drop_last=False),
    num_processes=8,
    auto_scale_lr=dict(base_batch_size=2048),
)
