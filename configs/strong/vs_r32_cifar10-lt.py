_base_ = "./ce_r32_cifar10-lt.py"
model = dict(head=dict(loss=dict(_delete_=True, type="VectorScalingLoss", gamma=0.05, tau=1.0)))
optim_wrapper = dict(optimizer=dict(weight_decay=2e-4))
variants = dict(
    lt10=dict(model=dict(head=dict(loss=dict(gamma=0.0))), optim_wrapper=dict(optimizer=dict(weight_decay=1e-4)))
)
