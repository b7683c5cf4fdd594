_base_ = ["../ce/ce_r152_places-lt.py", "../_base_/stages/balms.py"]
stage2 = dict(
    model=dict(head=dict(meta_lr=1e-3, init_power=0.3, num_meta_parts=2)),
    optim_wrapper=dict(optimizer=dict(lr=0.02)),
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=10)],
    train_cfg=dict(max_epochs=10),
    train_dataloader=dict(
        dataset=dict(
            _delete_=True,
            type="ConcatDataset",
            datasets=[_base_.train_dataloader.dataset, _base_.val_dataloader.dataset],
        ),
        **_base_.balms_validation,
    ),
)
