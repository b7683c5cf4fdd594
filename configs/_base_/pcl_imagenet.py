# PCL on ImageNet-sized images, as the settings of KCL that it changes. The prototypes are a tenth of those on ImageNet,
# for the 115,846 images of ImageNet-LT; a larger set has more. A config takes the parts, since it replaces those of its
# base.
_base_ = "./pipelines/moco_imagenet.py"
pcl = dict(
    train_dataloader=dict(dataset=dict(pipeline=_base_.moco_train_pipeline)),
    model=dict(
        queue_size=16384,
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
    ),
    optim_wrapper=dict(optimizer=dict(lr=0.03)),
    custom_hooks=[dict(type="ReclusterHook", start=20, interval=1, task=dict(type="PrototypeClustering"))],
)
