# No released recipe: stages 1 and 3 have the network and schedule of cross-entropy, stage 2 those of LWS.
_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/pipelines/simclr_cifar.py",
    "../_base_/models/ssd_r32.py",
    "../_base_/schedules/cifar_200e.py",
    "../_base_/stages/ssd.py",
    "../_base_/small_images_runtime.py",
]
# The view to classify is that of plain training, its key is of SimCLR's.
views = dict(type="MultiView", num_views=[1, 1], transforms=[_base_.train_pipeline[1:-1], _base_.simclr_view])
two_views = [dict(type="LoadImage"), views, dict(type="PackInputs")]
train_dataloader = dict(drop_last=True, dataset=dict(dataset=dict(pipeline=two_views)))
stage2 = dict(train_dataloader=dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline))))
stage3 = dict(
    model=dict(head=dict(init_cfg=_base_.model.head.init_cfg)),
    param_scheduler=_base_.param_scheduler,
    train_cfg=dict(max_epochs=200),
)
# CONFIG.py:hard tests the other classifier of the same run.
variants = dict(hard=_base_.hard)
