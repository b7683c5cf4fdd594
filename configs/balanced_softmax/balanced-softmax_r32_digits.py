_base_ = ["../ce/ce_r32_digits.py", "../_base_/stages/decoupled_balanced_softmax.py"]
model = dict(head=dict(loss=dict(_delete_=True, type="BalancedSoftmaxLoss")))
# As on CIFAR-LT.
settings = dict(optim_wrapper=dict(optimizer=dict(lr=0.1, weight_decay=2e-4)))
variants = dict(decoupled=dict(_base_.decoupled, stage2=dict(_base_.decoupled.stage2, **settings)))
