_base_ = "./bcl_r50_imagenet-lt.py"
model = dict(backbone=dict(type="ResNeXt", groups=32, width_per_group=4))
# Views that are compared with RandAugment: the first of the two, or both.
variants = {
    "sim-rand": dict(train_dataloader=dict(dataset=dict(pipeline=_base_.sim_rand_train_pipeline))),
    "rand-rand": dict(train_dataloader=dict(dataset=dict(pipeline=_base_.rand_rand_train_pipeline))),
}
