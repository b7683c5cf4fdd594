_base_ = "../ce/ce_x50_imagenet-glt.py"
model = dict(head=dict(loss=dict(_delete_=True, type="SoftmaxFocalLoss", gamma=2.0, detach_modulator=True)))
