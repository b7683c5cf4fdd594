_base_ = ["../ce/ce_x50_imagenet-lt.py", "../_base_/stages/ncm.py"]
