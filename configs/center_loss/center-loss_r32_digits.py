_base_ = "../ce/ce_r32_digits.py"
model = dict(type="AuxLossClassifier", aux_losses=dict(center=dict(type="CenterLoss", weights=0.001)))
