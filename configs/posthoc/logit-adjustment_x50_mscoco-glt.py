_base_ = ["../ce/ce_x50_mscoco-glt.py", "../_base_/stages/logit-adjustment.py"]
