_base_ = [
    "../_base_/datasets/digits.py",
    "../_base_/pipelines/paco_digits.py",
    "../_base_/models/ssd_r32.py",
    "../_base_/schedules/digits_30e.py",
    "../_base_/stages/ssd.py",
    "../_base_/default_runtime.py",
]
model = dict(queue_size=320, head=dict(num_classes=10))  # the keys of an epoch
train_dataloader = dict(drop_last=True, dataset=dict(dataset=dict(pipeline=_base_.paco_train_pipeline)))
one_view = [dict(type="LoadImage"), *_base_.digit_view, dict(type="PackInputs")]
stage2 = dict(
    # As on CIFAR-LT.
    optim_wrapper=dict(optimizer=dict(lr=0.1, weight_decay=2e-4)),
    train_dataloader=dict(dataset=dict(dataset=dict(pipeline=one_view))),
)
stage3 = dict(
    model=dict(head=dict(init_cfg=_base_.model.head.init_cfg)),
    optim_wrapper=_base_.optim_wrapper,
    param_scheduler=_base_.param_scheduler,
    train_cfg=dict(max_epochs=30),
)
# CONFIG.py:hard tests the other classifier of the same run.
variants = dict(hard=_base_.hard)
