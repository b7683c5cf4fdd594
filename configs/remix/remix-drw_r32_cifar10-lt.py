_base_ = "../drw/ce-drw_r32_cifar10-lt.py"
model = dict(train_cfg=dict(augments=dict(type="Remix", alpha=1.0, kappa=3.0, tau=0.5)))
# :no-drw is Remix, without class weights.
variants = {"no-drw": dict(model=dict(head=dict(loss=dict(class_weight=None, reweight_from=0))))}
