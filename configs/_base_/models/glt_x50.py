# ResNeXt-50 (32x4d) of the GLT benchmarks: no biases in the classifier, initial weights of PyTorch.
_base_ = "./ce_r50.py"
model = dict(
    backbone=dict(type="ResNeXt", groups=32, width_per_group=4),
    head=dict(bias=False, init_cfg=dict(type="TorchDefaultInit", layer="Linear")),
)
