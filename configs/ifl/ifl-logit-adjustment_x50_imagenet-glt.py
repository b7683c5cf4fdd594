_base_ = ["./ifl_x50_imagenet-glt.py", "../_base_/stages/ifl_logit-adjustment.py"]
stage2 = dict(model=dict(head=dict(bias=False)))
