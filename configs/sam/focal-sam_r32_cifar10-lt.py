_base_ = "../ce/ce_r32_cifar10-lt.py"
model = dict(head=dict(loss=dict(_delete_=True, type="LogitAdjustmentLoss", tau=1.0)))
optim_wrapper = dict(type="FocalSAMOptimWrapper", rho=0.2, gamma=3.0, scale=0.5)
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=200)]
train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=64)
