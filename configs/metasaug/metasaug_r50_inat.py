_base_ = ["../ce/ce_r50_inat.py", "../_base_/stages/metasaug.py"]
# Meta set: two training images of each class, which stay in the training.
meta = dict(type="LongTailDataset", imbalance_factor=1, max_count=2, dataset=_base_.train_dataloader.dataset)
stage2 = dict(
    train_dataloader=dict(
        dataset=dict(_delete_=True, type="ConcatDataset", datasets=[_base_.train_dataloader.dataset, meta])
    )
)
# The published number starts from 200 epochs.
variants = {
    "200e": dict(
        param_scheduler=[
            dict(type="CosineAnnealingLR", by_epoch=True, T_max=200, convert_to_iter_based=True),
        ],
        train_cfg=dict(max_epochs=200),
    )
}
