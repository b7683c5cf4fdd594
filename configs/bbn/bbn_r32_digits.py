_base_ = "../ce/ce_r32_digits.py"
model = dict(
    type="BBNClassifier",
    backbone=dict(num_experts=2, shared_stages=2, shared_blocks=-1),
    head=dict(type="BBNHead", init_cfg=dict(type="TorchDefaultInit", layer="Linear")),
)
train_dataloader = dict(
    batch_sampler=dict(type="CompanionBatchSampler", companions=[dict(type="ClassBalancedSampler", power=-1.0)])
)
