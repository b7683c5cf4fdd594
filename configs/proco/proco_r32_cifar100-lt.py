_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/pipelines/three_views_cifar.py",
    "../_base_/models/three_views_r32.py",
    "../_base_/schedules/three_views_cifar_200e.py",
    "../_base_/attributes.py",
    "../_base_/small_images_runtime.py",
]
model = dict(head=dict(contrast_loss=dict(type="ProCoLoss", dim=128, num_classes=100, temperature=0.1)))
train_dataloader = dict(
    batch_size=256, drop_last=True, dataset=dict(dataset=dict(pipeline=_base_.three_views_train_pipeline))
)
variants = dict(long=_base_.long, attributes=_base_.attributes.cifar_200e)
