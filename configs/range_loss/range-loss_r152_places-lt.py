# From ImageNet weights, as cross-entropy; features of 2048 channels lie farther apart than those of CIFAR.
_base_ = "../ce/ce_r152_places-lt.py"
model = dict(
    type="AuxLossClassifier", aux_losses=dict(range=dict(type="RangeLoss", alpha=1e-4, beta=1e-3, margin=200.0))
)
train_dataloader = dict(sampler=dict(_delete_=True, type="ClassAwareSampler"))
