_base_ = [
    "../_base_/datasets/inat.py",
    "../_base_/pipelines/three_views_imagenet.py",
    "../_base_/models/bcl_r50.py",
    "../_base_/schedules/cosine_90e.py",
    "../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=8142))
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=100, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=100)
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=_base_.three_views_train_pipeline))
num_processes = 4
auto_scale_lr = dict(base_batch_size=256)
