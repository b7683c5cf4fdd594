_base_ = [
    "../_base_/datasets/places-lt.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/cosine_90e.py",
    "../_base_/default_runtime.py",
    "../_base_/stages/oltr.py",
]

# Between pooling and classifier a layer makes a 512-d feature. Stage 1: 30 epochs of batch 128 from ImageNet weights;
# features learn a hundred times slower than the classifier.
projection = dict(
    type="LinearNeck",
    in_channels=2048,
    out_channels=512,
    norm_cfg=None,
    act_cfg=dict(type="ReLU"),
    init_cfg=dict(type="TorchDefaultInit", layer="Linear"),
)
model = dict(
    backbone=dict(depth=152, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet152")),
    neck=[dict(type="GlobalAveragePooling"), projection],
    head=dict(num_classes=365, in_channels=512, init_cfg=dict(type="TorchDefaultInit", layer="Linear")),
)
optim_wrapper = dict(
    optimizer=dict(lr=0.1),
    paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.01), "neck": dict(lr_mult=0.01)}),
)
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[10, 20], gamma=0.1)]
train_cfg = dict(max_epochs=30)
train_dataloader = dict(batch_size=32)
num_processes = 4
auto_scale_lr = dict(base_batch_size=128)

# Stage 2: the backbone stays as it is, all else learns more slowly; 30 epochs.
stage2 = dict(
    model=dict(
        freeze_backbone=True,
        neck=[dict(type="ModulatedAttention", in_channels=2048, map_size=7), projection],
    ),
    optim_wrapper=dict(
        optimizer=dict(lr=0.01),
        paramwise_cfg=dict(_delete_=True, custom_keys={"neck": dict(lr_mult=0.01)}),
    ),
    param_scheduler=[dict(type="MultiStepLR", by_epoch=True, milestones=[10, 20], gamma=0.1)],
    train_cfg=dict(max_epochs=30),
    train_dataloader=dict(batch_size=32),
)
