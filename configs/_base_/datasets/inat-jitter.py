# iNaturalist 2018 with the colour jitter of ImageNet-LT too, as MiSLAS trains on it.
_base_ = "./inat.py"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomResizedCrop", scale=224),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, backend="cv2"),
    dict(type="PackInputs"),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
