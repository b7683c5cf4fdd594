# Not in the paper: two environments for the conventional branch, images of the reversed sampler for the other.
_base_ = ["../bbn/bbn_r50_imagenet-glt.py", "../_base_/ifl.py"]
model = dict(num_environments=3, aux_losses=_base_.ifl.glt.model.aux_losses)
train_dataloader = dict(
    batch_size=128,
    sampler=_base_.ifl.glt.train_dataloader.sampler,
    batch_sampler=dict(
        companions=[*_base_.ifl.glt.train_dataloader.batch_sampler.companions, *_base_.reversed_companion.companions]
    ),
)
custom_hooks = _base_.ifl.glt.custom_hooks
auto_scale_lr = _base_.ifl.glt.auto_scale_lr
