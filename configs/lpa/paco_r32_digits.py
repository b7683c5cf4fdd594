_base_ = "../baselines/paco/paco_r32_digits.py"
model = dict(head=dict(type="LPAHead", num_attributes=32, alpha=0.1))
custom_hooks = [*_base_.custom_hooks, dict(type="ReclusterHook", start=5, interval=5)]
