_base_ = "./ride_r50_imagenet-lt.py"
model = dict(backbone=dict(type="MultiExpertResNeXt", groups=32, width_per_group=4))
