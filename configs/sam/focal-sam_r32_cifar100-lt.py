# Focal-SAM: each image gives a share of its gradient at perturbed weights, from 0.69 in head to 0.80 in tail classes.
# Logit adjustment; cosine without warm-up, batch 64.
_base_ = "../ce/ce_r32_cifar100-lt.py"
model = dict(head=dict(loss=dict(_delete_=True, type="LogitAdjustmentLoss", tau=1.0)))
optim_wrapper = dict(type="FocalSAMOptimWrapper", rho=0.3, gamma=3.2, scale=0.8, optimizer=dict(weight_decay=1e-3))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=200)]
train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=64)
