# All but the loss and the key encoder is SCL's. Warm-up and clusterings keep the shares of a schedule of 200 epochs.
# On one process batch norm tells which keys are of the same batch, so a query is compared with all of them.
_base_ = "../scl/scl_r32_cifar100-lt.py"
model = dict(
    type="MomentumClassifier",
    queue_size=4096,
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
custom_hooks = [dict(type="ReclusterHook", start=100, interval=5, task=dict(type="PrototypeClustering"))]
# With labels in stage 1: attributes are those of classes.
variants = dict(
    attributes=dict(
        model=dict(aux_losses=dict(attribute=dict(temperature=0.2))),
        custom_hooks=[*custom_hooks, *_base_.attributes.cifar_1000e.custom_hooks],
    )
)
