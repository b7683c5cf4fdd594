# Tiny-ImageNet-GLT: ours, made by tools/make_glt.py from class folders data/tiny-imagenet/{train,val}/<class>/<image>,
# 64x64; see docs/glt.md.
_base_ = ["./imagenet-glt.py", "../resident.py", "../pipelines/randaugment_cifar.py"]

where = dict(data_root="data/tiny-imagenet", ann_file="tiny-imagenet-glt.json", path_replace=None)
data_preprocessor = dict(num_classes=200)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomCrop", crop_size=64, padding=8),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]

test_pipeline = [
    dict(type="LoadImage"),
    dict(type="PackInputs"),
]

train_dataloader = dict(batch_size=128, dataset=dict(**where, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(**where, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(**where, pipeline=test_pipeline))

# One file has all splits. CONFIG.py:randaug is RandAugment as on CIFAR.
variants = dict(
    alt={f"{loop}_dataloader": dict(dataset=dict(ann_file=where["ann_file"])) for loop in ("train", "val", "test")},
    randaug=dict(
        train_dataloader=dict(
            dataset=dict(pipeline=[*train_pipeline[:-1], _base_.cifar_rand_augment, train_pipeline[-1]])
        )
    ),
)
