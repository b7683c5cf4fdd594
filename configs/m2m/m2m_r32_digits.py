# M2m-ERM.
_base_ = ["../ce/ce_r32_digits.py", "../_base_/stages/m2m.py"]
stage2 = dict(model=dict(translate_from=24), train_dataloader=dict(sampler=dict(start=24)))
variants = _base_.m2m_variants
