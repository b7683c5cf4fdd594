# Views of MoCo v2. The numbers of prototypes are a tenth of those on ImageNet.
_base_ = ["../kcl/kcl_r50_imagenet-lt.py", "../_base_/pipelines/moco_imagenet.py"]
train_dataloader = dict(dataset=dict(pipeline=_base_.moco_train_pipeline))
model = dict(
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
)
optim_wrapper = dict(optimizer=dict(lr=0.03))
custom_hooks = [dict(type="ReclusterHook", start=20, interval=1, task=dict(type="PrototypeClustering"))]
