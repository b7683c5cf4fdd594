_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/pipelines/simclr_cifar.py",
    "../_base_/models/byol_r32.py",
    "../_base_/schedules/simclr_200e.py",
    "../_base_/stages/crt_cifar.py",
    "../_base_/small_images_runtime.py",
]
train_dataloader = dict(
    batch_size=512, drop_last=True, dataset=dict(dataset=dict(pipeline=_base_.simclr_train_pipeline))
)
one_view = dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)), drop_last=False)
stage2 = dict(_base_.crt, train_dataloader=dict(_base_.crt.train_dataloader, **one_view))
