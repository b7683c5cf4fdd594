_base_ = ["./ifl_x50_imagenet-glt.py", "../_base_/stages/lws.py"]
stage2 = dict(_base_.ifl.glt.stage2, model=dict(head=dict(bias=False)))
