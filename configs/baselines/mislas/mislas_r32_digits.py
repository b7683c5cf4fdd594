_base_ = [
    "../../_base_/datasets/digits.py",
    "../../_base_/models/mislas_r32.py",
    "../../_base_/schedules/mislas_cifar_10e.py",
    "../../_base_/default_runtime.py",
]
previous_stage = dict(config="./mislas_r32_digits_stage1.py")
model = dict(head=dict(num_classes=10, loss=dict(num_classes=10)))
train_dataloader = dict(sampler=dict(_delete_=True, type="ClassAwareSampler"))
num_processes = None  # of no published recipe, so with any batch
auto_scale_lr = dict(base_batch_size=64)
