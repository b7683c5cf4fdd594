# CMO with cross-entropy and deferred class weights.
_base_ = ["../ce/ce_r32_cifar100-lt.py", "../_base_/cmo.py"]
model = dict(
    train_cfg=dict(augments=_base_.cmo),
    head=dict(loss=dict(_delete_=True, type="WeightedCrossEntropyLoss", **_base_.cmo_drw)),
)
train_dataloader = dict(batch_sampler=_base_.uniform_companion)
# :ce is without class weights.
variants = {
    "ce": _base_.cmo_plain,
    "ldam-drw": dict(model=dict(head=dict(num_classes=100, **_base_.cmo_ldam_head))),
    "balanced-softmax": _base_.cmo_balanced_softmax,
}
