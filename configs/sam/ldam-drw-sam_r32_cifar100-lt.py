_base_ = "../ldam/ldam-drw_r32_cifar100-lt.py"
optim_wrapper = dict(type="SAMOptimWrapper", rho=0.8)
