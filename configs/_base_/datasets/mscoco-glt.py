# MSCOCO-GLT (Tang et al., arXiv:2207.09504): crops of 29 classes of COCO-Attributes; 144,573 training images, tests of
# 5,800 each; for :alt 32,132 and other tests. data/mscoco-glt holds {coco_glt,coco_cbl}/{annotation.json,images}.
_base_ = "./imagenet-glt.py"

ann_file = "coco_glt/annotation.json"
balanced_ann_file = "coco_cbl/annotation.json"
where = dict(
    data_root="data/mscoco-glt",
    ann_file=ann_file,
    path_replace={"_delete_": True, r"^.*/(coco_[a-z]+/images/)": r"\1"},
)
data_preprocessor = dict(
    num_classes=29,
    # RGB, 0-255: (.473, .429, .370) and (.277, .268, .274)
    mean=[120.615, 109.395, 94.35],
    std=[70.635, 68.34, 69.87],
)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomResizedCrop", scale=112, crop_ratio_range=(0.5, 1.0)),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]

train_dataloader = dict(dataset=dict(**where, pipeline=train_pipeline))
val_dataloader = dict(dataset=where)
test_dataloader = dict(dataset=where)
variants = dict(
    alt={f"{loop}_dataloader": dict(dataset=dict(ann_file=balanced_ann_file)) for loop in ("train", "val", "test")},
    randaug=dict(
        train_dataloader=dict(
            dataset=dict(
                pipeline=[*train_pipeline[:-1], *_base_.variants.randaug.train_dataloader.dataset.pipeline[-2:]]
            )
        )
    ),
)
