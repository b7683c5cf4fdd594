# trainval of VOC 2007 and 2012 (16,551 images) -> test of VOC 2007 (4,952); short side 480-800 in training, 800 in the
# test.
_base_ = "mmdet::_base_/datasets/voc0712.py"

dataset_type = "CheckedVOCDataset"
data_root = "data/VOCdevkit/"

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="RandomChoiceResize", scales=[(1333, short) for short in range(480, 801, 32)], keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),  # after Resize, so that it leaves the boxes as they are
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
voc2007 = dict(
    type=dataset_type,
    data_root=data_root,
    ann_file="VOC2007/ImageSets/Main/trainval.txt",
    data_prefix=dict(sub_data_root="VOC2007/"),
    filter_cfg=dict(filter_empty_gt=True),
    keep_difficult=True,
    pipeline=train_pipeline,
)
voc2012 = dict(voc2007, ann_file="VOC2012/ImageSets/Main/trainval.txt", data_prefix=dict(sub_data_root="VOC2012/"))

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    sampler=dict(type="SeededInfiniteSampler", shuffle=True),
    # Without it a resumed run finds its place without loading what it has seen; batches are padded a little more.
    batch_sampler=None,
    dataset=dict(
        _delete_=True,
        type="SeededDataset",
        dataset=dict(type="ConcatDataset", ignore_keys=["dataset_type"], datasets=[voc2007, voc2012]),
    ),
)
val_dataloader = dict(dataset=dict(type=dataset_type, pipeline=test_pipeline))
test_dataloader = val_dataloader

# As detectron2 on voc_2007_test: the 11-point average precision of VOC 2007 at each IoU from 0.5 to 0.95, and the mean.
val_evaluator = dict(iou_thrs=[0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95])
test_evaluator = val_evaluator
