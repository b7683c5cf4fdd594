_base_ = ["../ce/ce_r50_imagenet-lt.py", "../_base_/stages/metasaug.py"]
# Meta set: 10 validation images of each class.
meta = dict(type="LongTailDataset", imbalance_factor=1, max_count=10, dataset=_base_.val_dataloader.dataset)
stage2 = dict(
    train_dataloader=dict(
        dataset=dict(_delete_=True, type="ConcatDataset", datasets=[_base_.train_dataloader.dataset, meta])
    )
)
