# From ImageNet weights, which each expert starts from; features learn ten times slower than the classifiers.
_base_ = [
    "../_base_/datasets/places-lt.py",
    "../_base_/pipelines/test_views_imagenet.py",
    "../_base_/models/experts_r50.py",
    "../_base_/schedules/cosine_90e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    backbone=dict(depth=152, expert_width=1.0, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet152")),
    head=dict(num_classes=365, in_channels=2048, loss=dict(type="TADELoss", tau=1.0)),
)
optim_wrapper = dict(
    optimizer=dict(lr=0.01, weight_decay=4e-4, nesterov=True),
    paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.1)}),
)
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[10, 20], gamma=0.1)]
train_cfg = dict(max_epochs=30)
train_dataloader = dict(batch_size=32)
num_processes = 4
auto_scale_lr = dict(base_batch_size=128)
# Test sets of other class frequencies, by the lists of SADE beside those of OLTR.
variants = {
    f"{name}{factor}": dict(test_dataloader=dict(dataset=dict(ann_file=f"Places_LT_{name}{factor}.txt")))
    for name in ("forward", "backward")
    for factor in (10, 50)
}
