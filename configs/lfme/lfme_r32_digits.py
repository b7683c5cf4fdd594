# One of the ten digits has more than 100 images: these thresholds make the groups 0 to 2, 3 to 5 and 6 to 9.
_base_ = ["../ce/ce_r32_digits.py", "../_base_/stages/lfme.py"]
model = dict(head=dict(type="ClassSubsetHead"))
class_subset = dict(many_threshold=45, few_threshold=10)
# The experts of few images take smaller batches, so that an epoch is more than one step.
stage2 = dict(train_dataloader=dict(batch_size=16), auto_scale_lr=dict(base_batch_size=16))
stage3 = dict(train_dataloader=dict(batch_size=8), auto_scale_lr=dict(base_batch_size=8))
stage4 = dict(
    model=dict(head=dict(init_cfg=_base_.model.head.init_cfg)),
    train_dataloader=dict(batch_size=64),
    auto_scale_lr=dict(base_batch_size=64),
)
