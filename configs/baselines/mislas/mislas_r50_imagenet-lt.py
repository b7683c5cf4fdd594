_base_ = [
    "../../_base_/datasets/imagenet-lt.py",
    "../../_base_/models/mislas_r50.py",
    "../../_base_/schedules/mislas_imagenet_10e.py",
    "../../_base_/default_runtime.py",
]
previous_stage = dict(config="./mislas_r50_imagenet-lt_stage1.py")
train_dataloader = dict(batch_size=32, sampler=dict(_delete_=True, type="ClassAwareSampler"))
