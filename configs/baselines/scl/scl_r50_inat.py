_base_ = [
    "../../_base_/datasets/inat.py",
    "../../_base_/models/linear_r50.py",
    "../../_base_/schedules/linear_crt_40e.py",
    "../../_base_/default_runtime.py",
]
previous_stage = dict(config="./scl_r50_inat_stage1.py")
model = dict(head=dict(num_classes=8142))
train_dataloader = dict(batch_size=256, sampler=dict(_delete_=True, type="ClassAwareSampler"))
