# The two views of PaCo on CIFAR, as its authors released them: crop, flip, AutoAugment, Cutout | SimCLR.

# The CIFAR policy of AutoAugment (arXiv:1805.09501, table 7); mmpretrain has only the one for ImageNet.
cifar_policies = [
    [dict(type="Invert", prob=0.1), dict(type="Contrast", magnitude=0.6, prob=0.2)],
    [
        dict(type="Rotate", angle=30 * 2 / 9, prob=0.7),
        dict(type="Translate", magnitude=150 / 331 * 9 / 9, direction="horizontal", prob=0.3),
    ],
    [dict(type="Sharpness", magnitude=0.1, prob=0.8), dict(type="Sharpness", magnitude=0.3, prob=0.9)],
    [
        dict(type="Shear", magnitude=0.3 * 8 / 9, direction="vertical", prob=0.5),
        dict(type="Translate", magnitude=150 / 331 * 9 / 9, direction="vertical", prob=0.7),
    ],
    [dict(type="AutoContrast", prob=0.5), dict(type="Equalize", prob=0.9)],
    [
        dict(type="Shear", magnitude=0.3 * 7 / 9, direction="vertical", prob=0.2),
        dict(type="Posterize", bits=5, prob=0.3),
    ],
    [dict(type="ColorTransform", magnitude=0.3, prob=0.4), dict(type="Brightness", magnitude=0.7, prob=0.6)],
    [dict(type="Sharpness", magnitude=0.9, prob=0.3), dict(type="Brightness", magnitude=0.9, prob=0.7)],
    [dict(type="Equalize", prob=0.6), dict(type="Equalize", prob=0.5)],
    [dict(type="Contrast", magnitude=0.7, prob=0.6), dict(type="Sharpness", magnitude=0.5, prob=0.6)],
    [
        dict(type="ColorTransform", magnitude=0.7, prob=0.7),
        dict(type="Translate", magnitude=150 / 331 * 8 / 9, direction="horizontal", prob=0.5),
    ],
    [dict(type="Equalize", prob=0.3), dict(type="AutoContrast", prob=0.4)],
    [
        dict(type="Translate", magnitude=150 / 331 * 3 / 9, direction="vertical", prob=0.4),
        dict(type="Sharpness", magnitude=0.6, prob=0.2),
    ],
    [dict(type="Brightness", magnitude=0.6, prob=0.9), dict(type="ColorTransform", magnitude=0.8, prob=0.2)],
    [dict(type="Solarize", thr=256 - 256 * 2 / 9, prob=0.5), dict(type="Invert", prob=0.0)],
    [dict(type="Equalize", prob=0.2), dict(type="AutoContrast", prob=0.6)],
    [dict(type="Equalize", prob=0.2), dict(type="Equalize", prob=0.6)],
    [dict(type="ColorTransform", magnitude=0.9, prob=0.9), dict(type="Equalize", prob=0.6)],
    [dict(type="AutoContrast", prob=0.8), dict(type="Solarize", thr=256 - 256 * 8 / 9, prob=0.2)],
    [dict(type="Brightness", magnitude=0.3, prob=0.1), dict(type="ColorTransform", magnitude=0.0, prob=0.7)],
    [dict(type="Solarize", thr=256 - 256 * 5 / 9, prob=0.4), dict(type="AutoContrast", prob=0.9)],
    [
        dict(type="Translate", magnitude=150 / 331 * 9 / 9, direction="vertical", prob=0.9),
        dict(type="Translate", magnitude=150 / 331 * 9 / 9, direction="vertical", prob=0.7),
    ],
    [dict(type="AutoContrast", prob=0.9), dict(type="Solarize", thr=256 - 256 * 3 / 9, prob=0.8)],
    [dict(type="Equalize", prob=0.8), dict(type="Invert", prob=0.1)],
    [
        dict(type="Translate", magnitude=150 / 331 * 9 / 9, direction="vertical", prob=0.7),
        dict(type="AutoContrast", prob=0.9),
    ],
]

regular_view = [
    dict(type="RandomCrop", crop_size=32, padding=4),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="AutoAugment", policies=cifar_policies),
    dict(type="Cutout", shape=16, pad_val=0, prob=1.0),
]
simclr_view = [
    dict(type="RandomResizedCrop", scale=32, crop_ratio_range=(0.2, 1.0)),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(
        type="RandomApply",
        prob=0.8,
        transforms=[dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, backend="cv2")],
    ),
    # ITU-R 601 luma for BGR
    dict(type="RandomGrayscale", prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.299)),
    # Radius in pixels: strong for 32x32, but what the published numbers were trained with.
    dict(type="GaussianBlur", magnitude_range=(0.1, 2.0), magnitude_std="inf", prob=0.5),
]

paco_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="MultiView", num_views=[1, 1], transforms=[regular_view, simclr_view]),
    dict(type="PackInputs"),
]
