_base_ = [
    "../_base_/datasets/imagenet-lt.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/cosine_90e.py",
    "../_base_/default_runtime.py",
    "../_base_/stages/lfme.py",
]
torch_init = dict(type="TorchDefaultInit", layer="Linear")
# After pooling a further layer makes the 512-d feature.
neck = [
    dict(type="GlobalAveragePooling"),
    dict(
        type="LinearNeck",
        in_channels=512,
        out_channels=512,
        norm_cfg=None,
        act_cfg=dict(type="ReLU"),
        init_cfg=torch_init,
    ),
]
# Classes with 100 images are many-shot, and with 20 few-shot: 391, 463 and 146 classes.
class_subset = dict(many_threshold=99, few_threshold=21)

# Experts: 120 epochs, cosine, batches of 128, 64 and 32.
model = dict(
    backbone=dict(type="ResNet10", depth=10),
    neck=neck,
    head=dict(type="ClassSubsetHead", in_channels=512, init_cfg=torch_init),
)
optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=120)]
train_cfg = dict(max_epochs=120)
train_dataloader = dict(batch_size=128)
num_processes = 1
auto_scale_lr = dict(base_batch_size=128)
stage2 = dict(train_dataloader=dict(batch_size=64), auto_scale_lr=dict(base_batch_size=64))
stage3 = dict(train_dataloader=dict(batch_size=32), auto_scale_lr=dict(base_batch_size=32))

# Student: 90 epochs, x0.1 after epochs 50 and 80; the weights of the curriculum multiply the logits, as released.
stage4 = dict(
    model=dict(
        neck=neck,
        head=dict(init_cfg=torch_init),
        curriculum=dict(scales="logits", full_at=0.5, extrapolate=True),
    ),
    param_scheduler=[dict(type="MultiStepLR", by_epoch=True, milestones=[50, 80], gamma=0.1)],
    train_cfg=dict(max_epochs=90),
    train_dataloader=dict(batch_size=256),
    auto_scale_lr=dict(base_batch_size=256),
)
# :paper weighs the loss of an image, all of them 1 at the end.
variants = dict(
    paper=dict(stage4=dict(model=dict(curriculum=dict(scales="loss", full_at=1.0, extrapolate=False)))),
)
