_base_ = ["../ce/ce_r32_cifar10-lt.py", "../_base_/stages/decoupled_balanced_softmax.py"]
model = dict(head=dict(loss=dict(_delete_=True, type="BalancedSoftmaxLoss")))
variants = dict(decoupled=_base_.decoupled)
