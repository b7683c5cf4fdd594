# ImageNet-GLT (Tang et al., arXiv:2207.09504): 113,460 training images of 1000 classes, tests of 60,000 each.
# The authors' files lie in data/imagenet, beside `train`; so do those of tools/make_glt.py --preset imagenet-glt.
dataset_type = "GLTDataset"
data_root = "data/imagenet"
ann_file = "imagenet_sup_intra_lt_inter_lt.json"
balanced_ann_file = "imagenet_sup_intra_lt_inter_bl.json"
path_replace = {r"^.*/train/": "train/"}  # of the authors' files, whose paths are absolute
data_preprocessor = dict(
    type="ImageBatchPreprocessor",
    num_classes=1000,
    # RGB, 0-255
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomResizedCrop", scale=112),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeEdge", scale=128, edge="short"),
    dict(type="CenterCrop", crop_size=112),
    dict(type="PackInputs"),
]


def _dataset(split, **settings):
    return dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_file,
        path_replace=path_replace,
        split=split,
        **settings,
    )


train_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=False,
    worker_init_fn=dict(type="epoch_worker_init"),
    dataset=_dataset("train-glt", pipeline=train_pipeline),
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=False,
    dataset=_dataset("val-glt", test_mode=True, pipeline=test_pipeline),
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
# Protocols CLT and GLT in one pass.
test_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=False,
    dataset=_dataset(["test-cbl", "test-gbl"], test_mode=True, pipeline=test_pipeline),
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)

val_evaluator = [dict(type="ShotAccuracy", topk=(1, 5)), dict(type="CalibrationError"), dict(type="GLTMetric")]
# Of each test set by itself: a number of both together would be none of a protocol.
test_evaluator = dict(type="GLTMetric")


def _operations(level):
    """The 15 operations of RandAugment at one of nine levels of the ranges of AutoAugment."""
    part = level / 9
    return [
        dict(type="Invert", prob=0.5),
        # A side of round(20 * part), cut to an even one; in gray, where the released code has (125, 122, 113).
        dict(type="ClippedCutout", size=(2, 4, 6, 8, 10, 12, 16, 18, 20)[level - 1], pad_val=120, prob=0.5),
        dict(type="Sharpness", magnitude=0.9 * part, prob=0.5),
        dict(type="AutoContrast", prob=0.5),
        dict(type="Posterize", bits=round(8 - 4 * part), prob=0.5),
        dict(type="Shear", magnitude=0.3 * part, direction="horizontal", prob=0.5),
        dict(type="Shear", magnitude=0.3 * part, direction="vertical", prob=0.5),
        dict(type="Translate", magnitude=150 / 331 * part, direction="horizontal", prob=0.5),
        dict(type="Translate", magnitude=150 / 331 * part, direction="vertical", prob=0.5),
        # Always to the left; a single number would be the gray of one channel.
        dict(type="Rotate", angle=-30 * part, random_negative_prob=0.0, pad_val=[128, 128, 128], prob=0.5),
        dict(type="Equalize", prob=0.5),
        dict(type="Contrast", magnitude=0.9 * part, prob=0.5),
        dict(type="ColorTransform", magnitude=0.9 * part, prob=0.5),
        dict(type="Solarize", thr=256 * (1 - part), prob=0.5),
        dict(type="Brightness", magnitude=0.9 * part, prob=0.5),
    ]


# CONFIG.py:alt is the protocol ALT: trained on as many images of each class, tested where attributes are balanced too.
# CONFIG.py:randaug is RandAugment as the benchmarks' authors use it, the default policy of the package `randaugment`:
# two of 15 operations at random magnitudes, each with probability 1/2, after crop and flip.
# CONFIG.py:lexicographic gives losses their class counts in the order of labels as strings, as the released code does.
variants = dict(
    alt=dict(
        train_dataloader=dict(dataset=dict(ann_file=balanced_ann_file, split="train-cbl")),
        val_dataloader=dict(dataset=dict(ann_file=balanced_ann_file, split="val-cbl")),
        test_dataloader=dict(dataset=dict(ann_file=balanced_ann_file, split=["test-gbl"])),
    ),
    randaug=dict(
        train_dataloader=dict(
            dataset=dict(
                pipeline=[
                    *train_pipeline[:-1],
                    dict(
                        type="RandAugment",
                        policies=[operation for level in range(1, 10) for operation in _operations(level)],
                        num_policies=2,
                        magnitude_level=10,  # of those that say none: here each says its own
                    ),
                    train_pipeline[-1],
                ]
            )
        )
    ),
    lexicographic=dict(default_hooks=dict(class_distribution=dict(lexicographic_counts=True))),
)
