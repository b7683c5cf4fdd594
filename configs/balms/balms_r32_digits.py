_base_ = ["../ce/ce_r32_digits.py", "../_base_/stages/balms.py"]
stage2 = dict(param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=10)], train_cfg=dict(max_epochs=10))
