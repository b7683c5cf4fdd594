_base_ = [
    "../../_base_/datasets/places-lt.py",
    "../../_base_/models/mislas_r50.py",
    "../../_base_/schedules/mislas_imagenet_10e.py",
    "../../_base_/default_runtime.py",
]
previous_stage = dict(config="./mislas_r152_places-lt_stage1.py")
# Live batch norms are those of the last block only.
model = dict(
    backbone=dict(type="LastBlockResNet", depth=152),
    head=dict(num_classes=365, loss=dict(num_classes=365, smooth_head=0.4, smooth_tail=0.1)),
)
train_dataloader = dict(batch_size=32, sampler=dict(_delete_=True, type="ClassAwareSampler"))
