_base_ = ["../ce/ce_x50_mscoco-glt.py", "../_base_/stages/crt.py"]
stage2 = dict(model=dict(head=dict(bias=False)), train_cfg=dict(val_interval=1))
