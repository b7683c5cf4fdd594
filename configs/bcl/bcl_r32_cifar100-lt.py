_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/pipelines/three_views_cifar.py",
    "../_base_/models/bcl_r32.py",
    "../_base_/schedules/three_views_cifar_200e.py",
    "../_base_/attributes.py",
    "../_base_/small_images_runtime.py",
]
optim_wrapper = dict(optimizer=dict(lr=0.15, weight_decay=5e-4))
train_dataloader = dict(
    batch_size=256, drop_last=True, dataset=dict(dataset=dict(pipeline=_base_.three_views_train_pipeline))
)
variants = dict(
    # The optimiser of ProCo's released code, for a comparison of the two losses.
    proco=dict(optim_wrapper=dict(optimizer=dict(lr=0.3, weight_decay=2e-4))),
    attributes=_base_.attributes.cifar_200e,
)
