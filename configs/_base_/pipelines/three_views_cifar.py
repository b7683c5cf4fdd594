# Three views on CIFAR, as the released code of ProCo has them: the first, which is classified, by crop, flip,
# AutoAugment and Cutout, the two that are compared by SimCLR's, from 0.08 of the area on and without blur.
_base_ = ["./simclr_cifar.py", "./autoaugment_cifar.py"]

_, *classified_view, _ = _base_.autoaugment_train_pipeline
compared_view = [
    dict(type="RandomResizedCrop", scale=32, crop_ratio_range=(0.08, 1.0)),
    *_base_.simclr_view[1:],
]

three_views_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="MultiView", num_views=[1, 2], transforms=[classified_view, compared_view]),
    dict(type="PackInputs"),
]
