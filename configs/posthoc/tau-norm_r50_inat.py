_base_ = ["../ce/ce_r50_inat.py", "../_base_/stages/tau-norm.py"]
