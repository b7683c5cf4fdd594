# Fine-tuning of a pretrained backbone on images of your own, --data: 224x224, batches of 32, AdamW with layer-wise
# rates, 15 epochs, warm-up of one, cosine. A recipe adds the model, what its weights have seen (pretrained_on), and the
# mean and deviation of its images.
_base_ = "./default_runtime.py"

data_preprocessor = dict(
    type="ImageBatchPreprocessor",
    num_classes=10,  # here and in the head: --data sets it
    # RGB, 0-255
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

train_pipeline = [
    dict(type="LoadImage"),
    # At least a third of a photo: smaller crops often miss what the label names.
    dict(type="RandomResizedCrop", scale=224, crop_ratio_range=(0.35, 1.0)),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeEdge", scale=256, edge="short"),
    dict(type="CenterCrop", crop_size=224),
    dict(type="PackInputs"),
]
small_pipeline = [dict(type="LoadImage"), dict(type="Resize", scale=(96, 96)), dict(type="PackInputs")]

train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=False,
    worker_init_fn=dict(type="epoch_worker_init"),
    dataset=dict(type="OwnImages", pipeline=train_pipeline),
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    dataset=dict(type="OwnImages", test_mode=True, pipeline=test_pipeline),
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="ShotAccuracy", topk=(1, 5)), dict(type="CalibrationError")]
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.05),
    constructor="LayerDecayConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.75, norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=1, end=15, T_max=14, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=15, val_interval=1)
val_cfg = dict()
test_cfg = dict()

variants = dict(
    # Two operations of timm's increasing policies an image, at about 9 of 10 levels.
    randaugment=dict(
        train_dataloader=dict(
            dataset=dict(
                pipeline=[
                    *train_pipeline[:-1],
                    dict(
                        type="RandAugment",
                        policies="timm_increasing",
                        num_policies=2,
                        magnitude_level=9,
                        magnitude_std=0.5,
                        hparams=dict(pad_val=[104, 116, 124], interpolation="bicubic"),
                    ),
                    train_pipeline[-1],
                ]
            )
        )
    ),
    # For small images, of 32 to 96 pixels: five times as fast.
    px96=dict(
        train_dataloader=dict(
            dataset=dict(
                pipeline=[
                    *train_pipeline[:1],
                    dict(type="RandomResizedCrop", scale=96, crop_ratio_range=(0.35, 1.0)),
                    *train_pipeline[2:],
                ]
            )
        ),
        val_dataloader=dict(dataset=dict(pipeline=small_pipeline)),
        test_dataloader=dict(dataset=dict(pipeline=small_pipeline)),
    ),
    # Predicts with the mean of the weights of the last hundred steps or so.
    ema=dict(custom_hooks=[dict(type="EMAHook", momentum=0.01)]),
)
