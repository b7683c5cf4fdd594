_base_ = [
    "../_base_/datasets/imagenet-lt.py",
    "../_base_/models/ce_r50.py",
    "../_base_/schedules/cosine_180e.py",
    "../_base_/stages/mislas.py",
    "../_base_/default_runtime.py",
]
model = dict(head=dict(loss=dict(use_soft=True)), train_cfg=dict(augments=dict(type="Mixup", alpha=0.2)))
train_dataloader = dict(batch_size=32)
stage2 = dict(
    optim_wrapper=dict(paramwise_cfg=dict(custom_keys={"head.fc": dict(lr_mult=0.05)})),
)
