# RandAugment on CIFAR, one view: crop, flip, and two of the 14 operations of the paper (arXiv:1909.13719), which are
# always applied, at 14 of 30 levels of the ranges of AutoAugment.
# A config takes it by train_dataloader=dict(dataset=dict(dataset=dict(pipeline=_base_.randaugment_train_pipeline))).
enhance = dict(magnitude_range=(0, 0.9), prob=1.0)
cifar_rand_augment = dict(
    type="RandAugment",
    policies=[
        dict(type="Invert", prob=0.0),  # the identity
        dict(type="AutoContrast", prob=1.0),
        dict(type="Equalize", prob=1.0),
        dict(type="Rotate", magnitude_range=(0, 30), prob=1.0),
        dict(type="Solarize", magnitude_range=(256, 0), prob=1.0),
        dict(type="Posterize", magnitude_range=(8, 4), prob=1.0),
        dict(type="ColorTransform", **enhance),
        dict(type="Contrast", **enhance),
        dict(type="Brightness", **enhance),
        dict(type="Sharpness", **enhance),
        dict(type="Shear", magnitude_range=(0, 0.3), direction="horizontal", prob=1.0),
        dict(type="Shear", magnitude_range=(0, 0.3), direction="vertical", prob=1.0),
        dict(type="Translate", magnitude_range=(0, 150 / 331), direction="horizontal", prob=1.0),
        dict(type="Translate", magnitude_range=(0, 150 / 331), direction="vertical", prob=1.0),
    ],
    num_policies=2,
    magnitude_level=14,
    total_level=30,
    hparams=dict(pad_val=[128, 128, 128]),
)
randaugment_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomCrop", crop_size=32, padding=4),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    cifar_rand_augment,
    dict(type="PackInputs"),
]
