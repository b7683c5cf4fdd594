_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/pipelines/simclr_cifar.py",
    "../_base_/models/swav_r32.py",
    "../_base_/schedules/simclr_200e.py",
    "../_base_/stages/crt_cifar.py",
    "../_base_/small_images_runtime.py",
]
# The views of SimCLR, and four small ones that show less.
colours = _base_.simclr_view[1:]
large_view = [dict(type="RandomResizedCrop", scale=32, crop_ratio_range=(0.3, 1.0)), *colours]
small_view = [dict(type="RandomResizedCrop", scale=16, crop_ratio_range=(0.1, 0.3)), *colours]
swav_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="MultiView", num_views=[2, 4], transforms=[large_view, small_view]),
    dict(type="PackInputs"),
]
train_dataloader = dict(batch_size=512, drop_last=True, dataset=dict(dataset=dict(pipeline=swav_train_pipeline)))
one_view = dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)), drop_last=False)
# Running statistics of batch norm are of small views too, so they follow the images of this stage.
stage2 = dict(
    _base_.crt,
    model=dict(_base_.crt.model, norm_eval=False),
    train_dataloader=dict(_base_.crt.train_dataloader, **one_view),
)
