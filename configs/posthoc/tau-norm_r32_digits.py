_base_ = ["../ce/ce_r32_digits.py", "../_base_/stages/tau-norm.py"]
