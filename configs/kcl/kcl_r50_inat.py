_base_ = [
    "../_base_/datasets/inat.py",
    "../_base_/pipelines/tsc_imagenet.py",
    "../_base_/models/moco_r50.py",
    "../_base_/schedules/moco_200e.py",
    "../_base_/stages/crt_imagenet.py",
    "../_base_/default_runtime.py",
]
model = dict(head=dict(num_classes=8142))
train_dataloader = dict(batch_size=32, drop_last=True, dataset=dict(pipeline=_base_.tsc_train_pipeline))
stage2 = dict(train_dataloader=dict(dataset=dict(pipeline=_base_.train_pipeline)))
