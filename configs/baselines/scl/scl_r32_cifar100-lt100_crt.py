_base_ = [
    "../../_base_/datasets/cifar100-lt100.py",
    "../../_base_/models/linear_r32.py",
    "../../_base_/schedules/linear_crt_45e.py",
    "../../_base_/default_runtime.py",
]
previous_stage = dict(config="./scl_r32_cifar100-lt100_stage1.py")
# An epoch has 500 x 100 images.
train_dataloader = dict(sampler=dict(_delete_=True, type="ClassAwareSampler", full_length=True))
