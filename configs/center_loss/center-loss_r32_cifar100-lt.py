# Cross-entropy and center loss, on the recipe of cross-entropy.
_base_ = "../ce/ce_r32_cifar100-lt.py"
model = dict(type="AuxLossClassifier", aux_losses=dict(center=dict(type="CenterLoss", weights=0.001)))
