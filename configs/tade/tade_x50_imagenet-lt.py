_base_ = [
    "../_base_/datasets/imagenet-lt.py",
    "../_base_/pipelines/test_views_imagenet.py",
    "../_base_/models/experts_r50.py",
    "../_base_/schedules/experts_imagenet_180e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    backbone=dict(type="MultiExpertResNeXt", groups=32, width_per_group=4),
    head=dict(loss=dict(type="TADELoss", tau=2.0)),
)
train_dataloader = dict(batch_size=32)
# Test sets of other class frequencies, by the lists of SADE beside those of OLTR.
variants = {
    f"{name}{factor}": dict(test_dataloader=dict(dataset=dict(ann_file=f"ImageNet_LT_{name}{factor}.txt")))
    for name in ("forward", "backward")
    for factor in (10, 50)
}
