_base_ = [
    "../_base_/datasets/imagenet-lt.py",
    "../_base_/pipelines/paco_imagenet.py",
    "../_base_/models/paco_r50.py",
    "../_base_/schedules/cosine_400e_paco.py",
    "../_base_/default_runtime.py",
]
train_dataloader = dict(batch_size=32, drop_last=True, dataset=dict(pipeline=_base_.paco_train_pipeline))
