_base_ = "./sbcl_r50_imagenet-lt.py"
previous_stage = dict(config="./sbcl-released_r50_imagenet-lt_stage1.py")
