_base_ = ["../ride/ride_r50_imagenet-lt.py", "../_base_/cmo.py"]
model = dict(train_cfg=dict(augments=dict(_base_.cmo, mix_until=97)), head=dict(loss=dict(normalize_by="labels")))
train_dataloader = dict(batch_sampler=_base_.uniform_companion)
