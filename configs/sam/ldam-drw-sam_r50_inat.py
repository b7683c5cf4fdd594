_base_ = "../ce/ce_r50_inat.py"
model = dict(
    head=dict(
        _delete_=True,
        type="CosineClsHead",
        num_classes=8142,
        in_channels=2048,
        scale=30.0,
        loss=dict(type="LDAMLoss", max_margin=0.3, scale=30.0, class_weight="effective_number", reweight_from=60),
    )
)
optim_wrapper = dict(
    type="SAMOptimWrapper",
    rho=0.05,
    phases=[dict(start=5, rho=0.1), dict(start=60, rho=0.5)],
    optimizer=dict(lr=0.1),
)
num_processes = 4
auto_scale_lr = dict(base_batch_size=256)
