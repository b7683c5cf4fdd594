_base_ = [
    "../_base_/datasets/cifar10-lt.py",
    "../_base_/pipelines/simclr_cifar.py",
    "../_base_/models/scl_r32.py",
    "../_base_/schedules/simclr_1000e.py",
    "../_base_/stages/ldam-drw.py",
    "../_base_/small_images_runtime.py",
]
train_dataloader = dict(batch_size=1024, dataset=dict(dataset=dict(pipeline=_base_.simclr_train_pipeline)))
model = dict(head=dict(num_classes=10))
stage2 = dict(
    train_dataloader=dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline))),
)
