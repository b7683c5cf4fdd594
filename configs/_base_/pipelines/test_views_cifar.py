# View of a test image whose two draws weigh the experts of SADE on CIFAR (tools/posthoc.py --method expert-weights):
# crop, colour, some gray, some blur, flip.
view_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomCrop", crop_size=32, padding=4),
    dict(
        type="RandomApply",
        prob=0.8,
        transforms=[dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, backend="cv2")],
    ),
    # ITU-R 601 luma for BGR
    dict(type="RandomGrayscale", prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.299)),
    dict(type="GaussianBlur", magnitude_range=(0.1, 2.0), magnitude_std="inf", prob=0.2),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]
