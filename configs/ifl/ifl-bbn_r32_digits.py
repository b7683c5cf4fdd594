_base_ = ["../bbn/bbn_r32_digits.py", "../_base_/ifl.py"]
model = dict(num_environments=3, aux_losses=_base_.ifl.digits.model.aux_losses)
train_dataloader = dict(
    batch_size=32,
    sampler=_base_.ifl.digits.train_dataloader.sampler,
    batch_sampler=dict(
        companions=[
            *_base_.ifl.digits.train_dataloader.batch_sampler.companions,
            dict(type="ClassBalancedSampler", power=-1.0),
        ]
    ),
)
custom_hooks = _base_.ifl.digits.custom_hooks
auto_scale_lr = _base_.ifl.digits.auto_scale_lr
