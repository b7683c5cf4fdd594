# 1000 epochs as for KCL, of which the second half, with a new optimiser, is TSC; LDAM as in the paper's supplement.
_base_ = "../kcl/kcl_r32_cifar100-lt.py"
param_scheduler = [
    dict(type="LinearLR", start_factor=0.02, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        by_epoch=True,
        begin=10,
        end=500,
        T_max=490,
        eta_min_ratio=1e-4,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=500)
linear_scheduler = [
    dict(type="LinearLR", start_factor=0.2, by_epoch=True, begin=0, end=5),
    dict(type="MultiStepLR", by_epoch=True, milestones=[140, 180, 190], gamma=0.1),
]
stage2 = dict(_delete_=True, model=dict(head=dict(loss=dict(type="TSCLoss"))))
stage3 = dict(_base_.stage2, param_scheduler=linear_scheduler)
crt_stage = dict(_base_.crt, _delete_=True, train_dataloader=_base_.crt_dataloader)
variants = dict(crt=dict(_delete_=True, stage3=crt_stage))
