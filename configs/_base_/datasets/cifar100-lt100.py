# CIFAR-100-LT, imbalance factor 100: the field's draw (LDAM generator, seed 0) and its standard augmentation.
dataset_type = "CIFAR100"
data_root = "data/cifar100"
data_preprocessor = dict(
    num_classes=100,
    # RGB, 0-255: (.4914, .4822, .4465) and (.2023, .1994, .2010)
    mean=[125.307, 122.961, 113.8575],
    std=[51.5865, 50.847, 51.255],
    to_rgb=True,
)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomCrop", crop_size=32, padding=4),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="PackInputs"),
]

train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=False,
    worker_init_fn=dict(type="epoch_worker_init"),
    dataset=dict(
        type="LongTailDataset",
        imbalance_factor=100,
        dataset=dict(type=dataset_type, data_root=data_root, split="train", pipeline=train_pipeline),
    ),
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=False,
    dataset=dict(type=dataset_type, data_root=data_root, split="test", test_mode=True, pipeline=test_pipeline),
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type="ShotAccuracy", topk=(1, 5)), dict(type="CalibrationError")]
test_evaluator = val_evaluator
