_base_ = ["../ce/ce_r32_digits.py", "../_base_/stages/oltr.py"]
# Half the batch and the schedule of stage 1.
stage2 = dict(
    model=dict(neck=dict(type="ModulatedAttention", in_channels=64, map_size=8)),
    optim_wrapper=dict(optimizer=dict(lr=0.05)),
    param_scheduler=[dict(type="MultiStepLR", by_epoch=True, milestones=[10, 20], gamma=0.1)],
    train_cfg=dict(max_epochs=30),
    train_dataloader=dict(batch_size=64),
    auto_scale_lr=dict(base_batch_size=64),
)
