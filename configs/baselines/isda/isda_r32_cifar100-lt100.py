_base_ = "../ce/ce_r32_cifar100-lt100.py"
model = dict(head=dict(type="ISDAHead", loss=dict(_delete_=True, type="ISDALoss", lambda_0=0.5)))
custom_hooks = [*_base_.custom_hooks, dict(type="CovarianceHook")]
