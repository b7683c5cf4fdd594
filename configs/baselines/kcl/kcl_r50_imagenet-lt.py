_base_ = "../scl/scl_r50_imagenet-lt.py"
previous_stage = dict(config="./kcl_r50_imagenet-lt_stage1.py")
