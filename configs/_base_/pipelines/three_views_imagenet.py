# Three views at 224x224, as the released code of BCL has them: the first, which is classified, by RandAugment
# (randcls), the two that are compared by crop, colour and gray, without blur (sim).
_base_ = ["./paco_imagenet.py", "./simclr_cifar.py"]

compared_view = [*_base_.crop_and_flip, *_base_.simclr_view[2:]]
stacked_view = [*compared_view, _base_.rand_augment]

three_views_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="MultiView", num_views=[1, 2], transforms=[_base_.randcls_view, compared_view]),
    dict(type="PackInputs"),
]
# RandAugment in the first of the views that are compared, or in both
sim_rand_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="MultiView", num_views=[1, 1, 1], transforms=[_base_.randcls_view, stacked_view, compared_view]),
    dict(type="PackInputs"),
]
rand_rand_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="MultiView", num_views=[1, 2], transforms=[_base_.randcls_view, stacked_view]),
    dict(type="PackInputs"),
]
