# Queries are compared with the whole batch, as on CIFAR.
_base_ = [
    "../_base_/datasets/digits.py",
    "../_base_/pipelines/paco_digits.py",
    "../_base_/models/scl_r32.py",
    "../_base_/schedules/digits_30e.py",
    "../_base_/stages/ldam-drw.py",
    "../_base_/default_runtime.py",
]
model = dict(
    type="MomentumClassifier",
    queue_size=256,
    momentum=0.99,
    compare_batch=True,
    head=dict(
        num_classes=10,
        loss=dict(
            _delete_=True,
            type="PCLLoss",
            temperature=0.2,
            num_clusters=(2500, 5000, 10000),
            num_negatives=1638,
            per_images=115846,
        ),
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.1))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.paco_train_pipeline)))
custom_hooks = [dict(type="ReclusterHook", start=5, interval=1, task=dict(type="PrototypeClustering"))]
# An epoch has six steps.
stage2 = dict(
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=60, convert_to_iter_based=True)],
    train_cfg=dict(max_epochs=60, val_interval=20),
    train_dataloader=dict(batch_size=64, dataset=dict(dataset=dict(pipeline=_base_.train_pipeline))),
)
