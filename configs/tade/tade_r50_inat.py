_base_ = [
    "../_base_/datasets/inat.py",
    "../_base_/pipelines/test_views_imagenet.py",
    "../_base_/models/experts_r50.py",
    "../_base_/schedules/experts_inat_100e.py",
    "../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=8142, loss=dict(type="TADELoss", tau=1.0)))
train_dataloader = dict(batch_size=128)
# Test sets of other class frequencies, by the lists of SADE; validation and test images are the same here.
variants = {
    f"{name}{factor}": {
        f"{split}_dataloader": dict(dataset=dict(ann_file=f"iNaturalist18_{name}{factor}.txt"))
        for split in ("val", "test")
    }
    for name in ("forward", "backward")
    for factor in (2, 3)
}
