# CIFAR-100-GLT: ours, made by tools/make_glt.py from class folders data/cifar100/{train,test}/<class>/<image>; see
# docs/glt.md.
_base_ = ["./imagenet-glt.py", "../resident.py", "../pipelines/randaugment_cifar.py"]

where = dict(data_root="data/cifar100", ann_file="cifar100-glt.json", path_replace=None)
data_preprocessor = dict(
    num_classes=100,
    # RGB, 0-255: (.4914, .4822, .4465) and (.2023, .1994, .2010)
    mean=[125.307, 122.961, 113.8575],
    std=[51.5865, 50.847, 51.255],
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

train_dataloader = dict(batch_size=128, num_workers=2, dataset=dict(**where, pipeline=train_pipeline))
val_dataloader = dict(num_workers=2, dataset=dict(**where, pipeline=test_pipeline))
test_dataloader = dict(num_workers=2, dataset=dict(**where, pipeline=test_pipeline))

# One file has all splits. CONFIG.py:randaug is RandAugment as on CIFAR; CONFIG.py:r20 is a ResNet-20, for comparisons
# on a CPU.
variants = dict(
    alt={f"{loop}_dataloader": dict(dataset=dict(ann_file=where["ann_file"])) for loop in ("train", "val", "test")},
    randaug=dict(train_dataloader=dict(dataset=dict(pipeline=_base_.randaugment_train_pipeline))),
    r20=dict(model=dict(backbone=dict(depth=20))),
)
