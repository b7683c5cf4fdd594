_base_ = "../ce/ce_r32_cifar100-lt.py"
model = dict(head=dict(loss=dict(_delete_=True, type="SoftmaxFocalLoss", gamma=1.0)))
# :drw has class weights in the last 40 of 200 epochs.
variants = dict(drw=dict(model=dict(head=dict(loss=dict(class_weight="effective_number", reweight_from=160)))))
