# RIDE on the GLT benchmarks: x0.1 after epoch 60 and again after 80 in place of the cosine, a smaller weight decay.
_base_ = "./glt_100e.py"
optim_wrapper = dict(optimizer=dict(weight_decay=2e-4))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[60, 80], gamma=0.1)]
