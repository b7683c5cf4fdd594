# RIDE with distillation: six experts are trained first, and four learn from them.
_base_ = ["./ride_x50_imagenet-lt.py", "../_base_/stages/ride_distill.py"]
model = dict(backbone=dict(num_experts=6), head=dict(num_experts=6))
# Six experts are those of stage 1 already: no :experts6.
variants = {"_delete_": True, **{name: value for name, value in _base_.variants.items() if name != "experts6"}}
