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

# CONFIG.py:alt is the protocol ALT: trained on as many images of each class, tested where attributes are balanced too.
variants = dict(
    alt=dict(
        train_dataloader=dict(dataset=dict(ann_file=balanced_ann_file, split="train-cbl")),
        val_dataloader=dict(dataset=dict(ann_file=balanced_ann_file, split="val-cbl")),
        test_dataloader=dict(dataset=dict(ann_file=balanced_ann_file, split=["test-gbl"])),
    )
)
