_base_ = "./ifl_r32_digits.py"
model = dict(head=dict(loss=dict(_delete_=True, type="BalancedSoftmaxLoss")))
