# Tiny-ImageNet-LT: class folders data/tiny-imagenet/{train,val}/<class>/<image>, 64x64; the train folder has a long tail.
_base_ = "./folder.py"

data_root = "data/tiny-imagenet"
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

train_dataloader = dict(batch_size=128, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(batch_size=128, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
