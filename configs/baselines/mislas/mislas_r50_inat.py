_base_ = [
    "../../_base_/datasets/inat-jitter.py",
    "../../_base_/models/mislas_r50.py",
    "../../_base_/schedules/mislas_imagenet_10e.py",
    "../../_base_/default_runtime.py",
]
previous_stage = dict(config="./mislas_r50_inat_stage1.py")
model = dict(head=dict(num_classes=8142, loss=dict(num_classes=8142)))
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
train_dataloader = dict(batch_size=32, sampler=dict(_delete_=True, type="ClassAwareSampler"))
