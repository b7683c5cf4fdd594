# Cross-entropy and range loss, on the recipe of cross-entropy, in batches of 32 classes with 4 images each.
_base_ = "../ce/ce_r32_cifar100-lt.py"
model = dict(type="AuxLossClassifier", aux_losses=dict(range=dict(type="RangeLoss")))
train_dataloader = dict(sampler=dict(_delete_=True, type="ClassAwareSampler"))
# Ordinary batches, with the pairs that they happen to have.
variants = dict(random=dict(train_dataloader=dict(sampler=dict(_delete_=True, type="DefaultSampler", shuffle=True))))
