# CIFAR and Tiny-ImageNet: an epoch takes a second on a GPU, and a checkpoint up to a tenth of that.
_base_ = "./default_runtime.py"
default_hooks = dict(checkpoint=dict(min_seconds=30))
