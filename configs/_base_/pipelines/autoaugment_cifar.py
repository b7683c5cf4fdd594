# AutoAugment and Cutout on CIFAR, one view: crop, flip, AutoAugment filled with gray, a black square of 16 pixels.
# A config takes it by train_dataloader=dict(dataset=dict(dataset=dict(pipeline=_base_.autoaugment_train_pipeline))).
# The CIFAR policy of AutoAugment (arXiv:1805.09501, table 7); mmpretrain has only the one for ImageNet.
cifar_policies = [
    [dict(type="Invert", prob=0.1), dict(type="Contrast", magnitude=0.6, prob=0.2)],
    [
        # Gray in three values: OpenCV, behind mmcv's rotation, takes a single one for the first channel alone.
        dict(type="Rotate", angle=30 * 2 / 9, pad_val=[128, 128, 128], prob=0.7),
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


def turned_left(step):
    """An operation of the policy, whose rotation has a sign drawn; the field's code turns to the left alone."""
    return dict(step, angle=-step["angle"], random_negative_prob=0.0) if step["type"] == "Rotate" else step


autoaugment_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomCrop", crop_size=32, padding=4),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(
        type="AutoAugment",
        policies=[[turned_left(step) for step in policy] for policy in cifar_policies],
    ),
    dict(type="ClippedCutout", size=16),
    dict(type="PackInputs"),
]
