_base_ = [
    "../_base_/datasets/tiny-imagenet-lt.py",
    "../_base_/pipelines/simclr_tiny-imagenet.py",
    "../_base_/models/scl_r32.py",
    "../_base_/schedules/simclr_200e.py",
    "../_base_/small_images_runtime.py",
]
model = dict(
    backbone=dict(
        _delete_=True,
        type="ResNet",
        depth=18,
        num_stages=4,
        out_indices=(3,),
        style="pytorch",
        zero_init_residual=False,
    ),
    projector=dict(in_channels=512, hidden_channels=512),
    head=dict(num_classes=200, in_channels=512),
)
train_dataloader = dict(batch_size=512, drop_last=True, dataset=dict(pipeline=_base_.simclr_train_pipeline))
