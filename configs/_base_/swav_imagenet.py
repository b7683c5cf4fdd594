# SwAV on ImageNet-sized images, without dataset: two views of 224 and six of 96 pixels, 3000 prototypes, 200 epochs of
# batch 256 by LARS, cosine. As mmpretrain trains it on ImageNet; SBCL, whose numbers these are, states no settings.
jitter = dict(
    type="RandomApply",
    prob=0.8,
    transforms=[dict(type="ColorJitter", brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, backend="cv2")],
)
colours = [
    jitter,
    # ITU-R 601 luma for BGR
    dict(type="RandomGrayscale", prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.299)),
    dict(type="GaussianBlur", magnitude_range=(0.1, 2.0), magnitude_std="inf", prob=0.5),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
]
large_view = [dict(type="RandomResizedCrop", scale=224, crop_ratio_range=(0.14, 1.0)), *colours]
small_view = [dict(type="RandomResizedCrop", scale=96, crop_ratio_range=(0.05, 0.14)), *colours]
swav_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="MultiView", num_views=[2, 6], transforms=[large_view, small_view]),
    dict(type="PackInputs"),
]

model = dict(
    type="SelfSupervisedClassifier",
    backbone=dict(type="ResNet", depth=50, num_stages=4, out_indices=(3,), style="pytorch", zero_init_residual=True),
    algorithm=dict(
        type="SwAV",
        neck=dict(type="SwAVNeck", in_channels=2048, hid_channels=2048, out_channels=128, norm_cfg=dict(type="BN1d")),
        head=dict(
            type="SwAVHead",
            loss=dict(
                type="SwappedPredictionLoss",
                feat_dim=128,
                num_views=8,
                num_prototypes=3000,
                queue_size=3840,
                queue_from=15,
                prototypes_from=1,
            ),
        ),
    ),
    head=dict(type="ProbeHead", num_classes=1000, in_channels=2048),
)
optim_wrapper = dict(optimizer=dict(type="DeviceLARS", lr=0.6, momentum=0.9, weight_decay=1e-6))
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=200, eta_min_ratio=1e-3, convert_to_iter_based=True)
]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=10)
val_cfg = dict()
test_cfg = dict()
num_processes = 8
auto_scale_lr = dict(base_batch_size=256)
sync_bn = "torch"  # of several processes; needs GPUs
