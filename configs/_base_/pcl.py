# PCL as the settings of another contrastive config that it changes. The prototypes are a tenth of those on ImageNet,
# for the 115,846 images of ImageNet-LT; another set has as many for its size. A config takes the parts, since it
# replaces those of its base.
loss = dict(
    _delete_=True,
    type="PCLLoss",
    temperature=0.2,
    num_clusters=(2500, 5000, 10000),
    num_negatives=1638,
    per_images=115846,
)
pcl = dict(
    # Of KCL on ImageNet-sized images.
    large=dict(
        model=dict(queue_size=16384, head=dict(loss=loss)),
        optim_wrapper=dict(optimizer=dict(lr=0.03)),
        custom_hooks=[dict(type="ReclusterHook", start=20, interval=1, task=dict(type="PrototypeClustering"))],
    ),
    # Of SCL on small ones. On one process batch norm tells which keys are of the same batch, so a query is compared
    # with all of them.
    small=dict(type="MomentumClassifier", momentum=0.99, compare_batch=True, head=dict(loss=loss)),
)
del loss
