_base_ = [
    "../../_base_/datasets/cifar10-lt100_folder.py",
    "../../_base_/models/mislas_r32.py",
    "../../_base_/schedules/mislas_cifar_10e.py",
    "../../_base_/default_runtime.py",
]
previous_stage = dict(config="./mislas_r32_cifar10-lt100_folder_stage1.py")
# On CIFAR-10 the statistics of batch norms stay, and the classifier learns faster.
model = dict(norm_eval=True, head=dict(num_classes=10, loss=dict(num_classes=10)))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"head.fc": dict(lr_mult=0.5)}))
train_dataloader = dict(sampler=dict(_delete_=True, type="ClassAwareSampler"))
