# Augmentation of the multi-expert methods on CIFAR-LT: crop, flip, and a rotation by up to 15 degrees to either side,
# as that of torchvision.
rotation_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomCrop", crop_size=32, padding=4),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="Rotate", magnitude_range=(0, 15), magnitude_std="inf", prob=1.0, pad_val=0, interpolation="nearest"),
    dict(type="PackInputs"),
]
