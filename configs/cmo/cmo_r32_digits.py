_base_ = ["../drw/ce-drw_r32_digits.py", "../_base_/cmo.py"]
model = dict(
    train_cfg=dict(augments=dict(_base_.cmo, mix_from=1, mix_until=29)),
    head=dict(loss=dict(normalize_by="labels")),
)
train_dataloader = dict(batch_sampler=_base_.uniform_companion)
