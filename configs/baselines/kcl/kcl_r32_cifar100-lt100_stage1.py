_base_ = [
    "../../_base_/datasets/cifar100-lt100.py",
    "../../_base_/pipelines/simclr_cifar.py",
    "../../_base_/models/scl_r32.py",
    "../../_base_/schedules/simclr_1000e.py",
    "../../_base_/default_runtime.py",
]
model = dict(head=dict(loss=dict(_delete_=True, type="KCLLoss", num_positives=6, temperature=0.1)))
train_dataloader = dict(batch_size=1024, dataset=dict(dataset=dict(pipeline=_base_.simclr_train_pipeline)))
