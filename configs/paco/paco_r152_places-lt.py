_base_ = [
    "../_base_/datasets/places-lt.py",
    "../_base_/pipelines/paco_imagenet.py",
    "../_base_/models/paco_r50.py",
    "../_base_/schedules/cosine_400e_paco.py",
    "../_base_/default_runtime.py",
]

# From ImageNet weights; of the convolutions only the last block learns (batch norm's scales and shifts all do).
model = dict(
    backbone=dict(depth=152, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet152")),
    head=dict(num_classes=365),
)
frozen = dict(lr_mult=0.0, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            "backbone.layer4.2": dict(lr_mult=1.0),
            "downsample.0": frozen,
            ".conv1": frozen,
            ".conv2": frozen,
            ".conv3": frozen,
        }
    )
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.2, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=5, end=30, T_max=25, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=30)
train_dataloader = dict(batch_size=32, drop_last=True, dataset=dict(pipeline=_base_.paco_places_train_pipeline))
