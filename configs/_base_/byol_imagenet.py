# BYOL on ImageNet-sized images, without dataset: two views, 200 epochs of batch 4096 by LARS, warm-up 10, cosine. As
# mmpretrain trains it on ImageNet; SBCL, whose numbers these are, states no settings.
_jitter = dict(
    type="RandomApply",
    prob=0.8,
    transforms=[dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, backend="cv2")],
)


def _view(blur, solarize):
    """A view of an image, by the probabilities in which the two differ."""
    return [
        dict(type="RandomResizedCrop", scale=224, interpolation="bicubic"),
        dict(type="RandomFlip", prob=0.5, direction="horizontal"),
        _jitter,
        # ITU-R 601 luma for BGR
        dict(type="RandomGrayscale", prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.299)),
        dict(type="GaussianBlur", magnitude_range=(0.1, 2.0), magnitude_std="inf", prob=blur),
        dict(type="Solarize", thr=128, prob=solarize),
    ]


byol_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="MultiView", num_views=[1, 1], transforms=[_view(blur=1.0, solarize=0.0), _view(blur=0.1, solarize=0.2)]),
    dict(type="PackInputs"),
]

_mlp = dict(
    type="NonLinearNeck",
    hid_channels=4096,
    out_channels=256,
    with_bias=True,
    with_last_bn=False,
    norm_cfg=dict(type="BN1d"),
)
model = dict(
    type="SelfSupervisedClassifier",
    backbone=dict(type="ResNet", depth=50, num_stages=4, out_indices=(3,), style="pytorch", zero_init_residual=False),
    algorithm=dict(
        type="StepBYOL",
        base_momentum=0.01,
        neck=dict(**_mlp, in_channels=2048),
        head=dict(
            type="LatentPredictHead",
            loss=dict(type="CosineSimilarityLoss"),
            predictor=dict(**_mlp, in_channels=256, with_avg_pool=False),
        ),
    ),
    head=dict(type="ProbeHead", num_classes=1000, in_channels=2048),
)
_plain = dict(decay_mult=0.0, lars_exclude=True)
optim_wrapper = dict(
    accumulative_counts=8,
    optimizer=dict(type="DeviceLARS", lr=4.8, momentum=0.9, weight_decay=1e-6),
    paramwise_cfg=dict(custom_keys={"bn": _plain, "bias": _plain, "downsample.1": _plain}),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=10, end=200, T_max=190, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=10)
val_cfg = dict()
test_cfg = dict()
num_processes = 8
auto_scale_lr = dict(base_batch_size=4096)
sync_bn = "torch"  # of several processes; needs GPUs
