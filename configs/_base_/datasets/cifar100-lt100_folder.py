# CIFAR-100 as class folders, data/cifar100/{train,test}/<class>/<image>; the train folder may be long-tailed already.
_base_ = "./cifar100-lt100.py"

dataset_type = "FolderDataset"

train_dataloader = dict(
    dataset=dict(
        max_count=500,
        dataset=dict(
            _delete_=True,
            type=dataset_type,
            data_root=_base_.data_root,
            data_prefix="train",
            pipeline=_base_.train_pipeline,
        ),
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=_base_.data_root,
        data_prefix="test",
        class_folder="train",  # labels as in training, whatever folders are here
        test_mode=True,
        pipeline=_base_.test_pipeline,
    )
)
test_dataloader = val_dataloader
