_base_ = ["../ce/ce_r50_imagenet-lt.py", "../_base_/stages/ncm.py"]
