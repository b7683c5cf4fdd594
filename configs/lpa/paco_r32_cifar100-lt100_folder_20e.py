_base_ = "../baselines/paco/paco_r32_cifar100-lt100_folder_20e.py"
model = dict(head=dict(type="LPAHead", num_attributes=128, alpha=0.1))
custom_hooks = [*_base_.custom_hooks, dict(type="ReclusterHook", start=4, interval=4)]
