# The released code of LDAM + IFL has the weight decay of the benchmarks, 5e-4, where that of LDAM alone has 2e-4.
_base_ = "./ifl_x50_imagenet-glt.py"
model = dict(
    head=dict(
        _delete_=True,
        type="CosineClsHead",
        num_classes=1000,
        in_channels=2048,
        scale=30.0,
        loss=dict(type="LDAMLoss", max_margin=0.5, scale=30.0, class_weight="effective_number", reweight_from=80),
    ),
    aux_losses=dict(center=dict(distance="cosine"), environments=dict(temperature=30.0)),
)
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[80, 90], gamma=0.01)]
