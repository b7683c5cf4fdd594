_base_ = "../ce/ce_x50_mscoco-glt.py"
model = dict(head=dict(loss=dict(use_soft=True)), train_cfg=dict(augments=dict(type="Mixup", alpha=1.0)))
