# Without dynamic temperature: e * tau1 for every class, what Eq. 5 gives to an average one.
_base_ = "./sbcl_r32_cifar100-lt100_stage1.py"
custom_hooks = _base_.custom_hooks[:-1]
