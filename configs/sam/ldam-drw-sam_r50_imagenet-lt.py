# 90 epochs, lr 0.2 at batch 256; class weights, and the largest radius, from epoch 60 on.
_base_ = "../ce/ce_r50_imagenet-lt.py"
model = dict(
    head=dict(
        _delete_=True,
        type="CosineClsHead",
        num_classes=1000,
        in_channels=2048,
        scale=30.0,
        loss=dict(type="LDAMLoss", max_margin=0.3, scale=30.0, class_weight="effective_number", reweight_from=60),
    )
)
optim_wrapper = dict(
    type="SAMOptimWrapper",
    rho=0.05,
    phases=[dict(start=5, rho=0.1), dict(start=60, rho=0.5)],
    optimizer=dict(weight_decay=2e-4),
)
num_processes = 4
auto_scale_lr = dict(base_batch_size=256)
