_base_ = [
    "../_base_/datasets/inat.py",
    "../_base_/pipelines/three_views_imagenet.py",
    "../_base_/models/three_views_r50.py",
    "../_base_/schedules/cosine_90e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    head=dict(num_classes=8142, contrast_loss=dict(type="ProCoLoss", dim=1024, num_classes=8142, temperature=0.07))
)
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
train_dataloader = dict(batch_size=32, drop_last=True, dataset=dict(pipeline=_base_.three_views_train_pipeline))
auto_scale_lr = dict(base_batch_size=256)
