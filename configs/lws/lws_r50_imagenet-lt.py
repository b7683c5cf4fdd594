_base_ = ["../ce/ce_r50_imagenet-lt.py", "../_base_/stages/lws.py"]
stage2 = dict(param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=5)], train_cfg=dict(max_epochs=5))
