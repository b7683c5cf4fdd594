_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/pipelines/simclr_cifar.py",
    "../_base_/models/scl_r32.py",
    "../_base_/schedules/simclr_1000e.py",
    "../_base_/stages/ldam-drw.py",
    "../_base_/stages/crt_cifar.py",
    "../_base_/attributes.py",
    "../_base_/small_images_runtime.py",
]
train_dataloader = dict(batch_size=1024, dataset=dict(dataset=dict(pipeline=_base_.simclr_train_pipeline)))
one_view = dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)))
stage2 = dict(train_dataloader=one_view)
crt_dataloader = dict(_base_.crt.train_dataloader, **one_view)
variants = dict(
    crt=dict(stage2=dict(_base_.crt, _delete_=True, train_dataloader=crt_dataloader)),
    attributes=_base_.attributes.cifar_1000e,
)
