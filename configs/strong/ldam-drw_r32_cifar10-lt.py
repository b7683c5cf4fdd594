_base_ = "./ce_r32_cifar10-lt.py"
model = dict(
    head=dict(
        _delete_=True,
        type="CosineClsHead",
        num_classes=10,
        in_channels=64,
        scale=30.0,
        loss=dict(type="LDAMLoss", max_margin=0.5, scale=30.0, class_weight="effective_number", reweight_from=320),
    )
)
optim_wrapper = dict(rho=0.4, optimizer=dict(weight_decay=5e-5))
variants = dict(lt10=dict(optim_wrapper=dict(optimizer=dict(weight_decay=1e-5))))
