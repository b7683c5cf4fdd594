# M2m-ERM.
_base_ = ["../ce/ce_r32_cifar100-lt.py", "../_base_/stages/m2m.py"]
variants = _base_.m2m_variants
