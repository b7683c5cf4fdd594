_base_ = "../ce/ce_r32_cifar100-glt.py"
model = dict(head=dict(loss=dict(_delete_=True, type="BalancedSoftmaxLoss")))
