_base_ = [
    "../_base_/datasets/imagenet-lt.py",
    "../_base_/pipelines/three_views_imagenet.py",
    "../_base_/models/bcl_r50.py",
    "../_base_/schedules/cosine_90e.py",
    "../_base_/default_runtime.py",
]
optim_wrapper = dict(optimizer=dict(lr=0.1))
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=_base_.three_views_train_pipeline))
num_processes = 4
auto_scale_lr = dict(base_batch_size=256)
