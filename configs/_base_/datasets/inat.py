# iNaturalist 2018: 437,513 / 24,426 images, its validation set is the test set. tools/datasets/inat_to_list.py makes the
# lists.
_base_ = "./imagenet-lt.py"

data_root = "data/inat"
num_classes = 8142
data_preprocessor = dict(
    num_classes=num_classes,
    # RGB, 0-255: (.466, .471, .380) and (.195, .194, .192)
    mean=[118.83, 120.105, 96.9],
    std=[49.725, 49.47, 48.96],
)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomResizedCrop", scale=224),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]

train_dataloader = dict(
    dataset=dict(
        data_root=data_root, ann_file="iNaturalist18_train.txt", num_classes=num_classes, pipeline=train_pipeline
    )
)
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file="iNaturalist18_val.txt", num_classes=num_classes))
test_dataloader = val_dataloader
