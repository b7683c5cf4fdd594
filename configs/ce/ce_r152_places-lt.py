_base_ = [
    "../_base_/datasets/places-lt.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/cosine_90e.py",
    "../_base_/default_runtime.py",
]

# Places-LT starts from ImageNet weights; the features learn ten times slower than the classifier (Kang et al.).
model = dict(
    backbone=dict(depth=152, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet152")),
    head=dict(num_classes=365),
)
optim_wrapper = dict(optimizer=dict(lr=0.1), paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.1)}))
num_processes = 4
auto_scale_lr = dict(base_batch_size=256)
