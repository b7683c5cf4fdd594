_base_ = ["../ce/ce_x50_imagenet-glt.py", "../_base_/stages/logit-adjustment.py"]
