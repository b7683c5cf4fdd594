_base_ = ["../ce/ce_r32_digits.py", "../_base_/stages/weight_balancing.py"]
optim_wrapper = dict(optimizer=dict(weight_decay=5e-3))
stage2 = dict(model=dict(head=dict(loss=dict(loss_weight=0.1))))
