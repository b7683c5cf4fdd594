# Queries are compared with the whole batch, as on CIFAR.
_base_ = "../scl/scl_r32_digits.py"
model = dict(
    type="MomentumClassifier",
    queue_size=256,
    momentum=0.99,
    compare_batch=True,
    head=dict(
        loss=dict(
            _delete_=True,
            type="PCLLoss",
            temperature=0.2,
            num_clusters=(2500, 5000, 10000),
            num_negatives=1638,
            per_images=115846,
        )
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.1))
custom_hooks = [dict(type="ReclusterHook", start=5, interval=1, task=dict(type="PrototypeClustering"))]
# With labels in stage 1: attributes are those of classes.
variants = dict(
    attributes=dict(
        model=dict(aux_losses=dict(attribute=dict(temperature=0.2))),
        custom_hooks=[*custom_hooks, *_base_.attributes.digits.custom_hooks],
    )
)
