_base_ = "./lws_r50_imagenet-lt.py"
model = dict(backbone=dict(type="ResNeXt", groups=32, width_per_group=4))
