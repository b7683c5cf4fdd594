_base_ = "../baselines/scl/scl_r50_imagenet-lt.py"
previous_stage = dict(config="./sbcl_r50_imagenet-lt_stage1.py")
