# UCI digits, imbalance factor 50: 342 training images (124 zeros down to 2 nines), 500 test images, no download.
_base_ = "./cifar10-lt.py"

data_preprocessor = dict(mean=[77.8, 77.8, 77.8], std=[82.4, 82.4, 82.4])

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomCrop", crop_size=32, padding=2),
    dict(type="PackInputs"),
]

# No workers: the images are in memory, and starting workers would take longer than an epoch.
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    dataset=dict(
        imbalance_factor=50,
        max_count=124,
        dataset=dict(_delete_=True, type="DigitsDataset", split="train", pipeline=train_pipeline),
    ),
)
val_dataloader = dict(
    num_workers=0,
    dataset=dict(_delete_=True, type="DigitsDataset", split="test", test_mode=True, pipeline=_base_.test_pipeline),
)
test_dataloader = val_dataloader
# The set is too small for other factors. CONFIG.py:r20 is a ResNet-20, a minute on a CPU.
variants = dict(_delete_=True, r20=dict(model=dict(backbone=dict(depth=20))))

shifted_tests = {
    f"{name}{factor}": {
        f"{split}_dataloader": dict(dataset=dict(dataset=val_dataloader["dataset"])) for split in ("val", "test")
    }
    for name in ("forward", "backward")
    for factor in (10, 50)
}
