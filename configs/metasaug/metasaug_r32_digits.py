_base_ = ["../ce/ce_r32_digits.py", "../_base_/metasaug.py"]
model = dict(
    _base_.metasaug.model,
    head=dict(_base_.metasaug.model.head, loss=dict(_delete_=True, type="MetaSAugLoss", lambda_0=0.75, switch_from=24)),
)
# 10 of 124 images of the largest class are in the meta set.
train_dataloader = dict(
    sampler=_base_.metasaug.train_dataloader.sampler,
    batch_sampler=_base_.metasaug.train_dataloader.batch_sampler,
    dataset=dict(max_count=114, meta_per_class=10),
)
custom_hooks = _base_.metasaug.custom_hooks
