_base_ = [
    "../../_base_/datasets/cifar100-lt100.py",
    "../../_base_/models/mislas_r32.py",
    "../../_base_/schedules/mislas_cifar_10e.py",
    "../../_base_/default_runtime.py",
]
previous_stage = dict(config="./mislas_r32_cifar100-lt100_stage1.py")
model = dict(head=dict(loss=dict(smooth_head=0.4, smooth_tail=0.1)))
train_dataloader = dict(sampler=dict(_delete_=True, type="ClassAwareSampler"))
