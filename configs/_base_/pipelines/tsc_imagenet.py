# The views of TSC at 224x224 (arXiv:2111.13998), from which the published numbers of KCL and SCL are: no blur, no gray.
tsc_view = [
    dict(type="RandomResizedCrop", scale=224),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, backend="cv2"),
]

tsc_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="MultiView", num_views=2, transforms=[tsc_view]),
    dict(type="PackInputs"),
]
