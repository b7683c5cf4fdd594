_base_ = ["../ce/ce_r50_inat.py", "../_base_/stages/oltr.py"]
stage2 = dict(
    model=dict(neck=dict(type="ModulatedAttention", in_channels=2048, map_size=7)),
    train_dataloader=dict(batch_size=16),  # of 8 processes
)
