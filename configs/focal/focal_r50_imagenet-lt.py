_base_ = "../ce/ce_r50_imagenet-lt.py"
model = dict(head=dict(loss=dict(_delete_=True, type="SoftmaxFocalLoss", gamma=1.0)))
# :drw has class weights in the last fifth of 90 epochs.
variants = dict(drw=dict(model=dict(head=dict(loss=dict(class_weight="effective_number", reweight_from=72)))))
