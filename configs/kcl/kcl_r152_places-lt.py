# No paper has it: from ImageNet weights with a new last block, which alone learns, as other methods on Places-LT; 30
# epochs and the queue are PaCo's there. That of ImageNet-LT would hold every image.
_base_ = [
    "../_base_/datasets/places-lt.py",
    "../_base_/pipelines/tsc_imagenet.py",
    "../_base_/models/moco_r50.py",
    "../_base_/schedules/moco_200e.py",
    "../_base_/stages/crt_imagenet.py",
    "../_base_/default_runtime.py",
]
model = dict(
    backbone=dict(
        type="LastBlockResNet", depth=152, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet152")
    ),
    queue_size=8192,
    head=dict(num_classes=365),
)
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=30, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=30)
train_dataloader = dict(batch_size=32, drop_last=True, dataset=dict(pipeline=_base_.tsc_train_pipeline))
stage2 = dict(train_dataloader=dict(dataset=dict(pipeline=_base_.train_pipeline)))
