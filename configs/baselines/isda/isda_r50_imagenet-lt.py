_base_ = "../ce/ce_r50_imagenet-lt.py"
# Variances alone: 1000 covariances of 2048 channels would take 17 GB.
model = dict(head=dict(type="ISDAHead", loss=dict(_delete_=True, type="ISDALoss", lambda_0=7.5, covariance="diagonal")))
custom_hooks = [*_base_.custom_hooks, dict(type="CovarianceHook")]
