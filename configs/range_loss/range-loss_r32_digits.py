_base_ = "../ce/ce_r32_digits.py"
model = dict(type="AuxLossClassifier", aux_losses=dict(range=dict(type="RangeLoss")))
train_dataloader = dict(sampler=dict(_delete_=True, type="ClassAwareSampler"))
variants = dict(random=dict(train_dataloader=dict(sampler=dict(_delete_=True, type="DefaultSampler", shuffle=True))))
