# No published number: the recipe of LDAM in each of the four stages, and the curriculum of the paper.
_base_ = ["../ce/ce_r32_cifar100-lt.py", "../_base_/stages/lfme.py"]
model = dict(head=dict(type="ClassSubsetHead"))
stage4 = dict(model=dict(head=dict(init_cfg=_base_.model.head.init_cfg)))
# Imbalance factor 10 has no class for the expert of few images.
variants = dict(_delete_=True, **{name: _base_.variants[name] for name in ("lt50", "folders", "r20")})
