_base_ = [
    "../_base_/datasets/imagenet-lt.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/cosine_90e.py",
    "../_base_/default_runtime.py",
    "../_base_/stages/oltr.py",
]

# Stage 1: ResNet-10, 30 epochs of batch 128, x0.1 after epochs 10 and 20.
model = dict(
    backbone=dict(type="ResNet10", depth=10),
    head=dict(in_channels=512, init_cfg=dict(type="TorchDefaultInit", layer="Linear")),
)
optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[10, 20], gamma=0.1)]
train_cfg = dict(max_epochs=30)
train_dataloader = dict(batch_size=128)
num_processes = 1
auto_scale_lr = dict(base_batch_size=128)

stage2 = dict(model=dict(neck=dict(type="ModulatedAttention", in_channels=512, map_size=7)))
