# SBCL on ImageNet-LT and iNaturalist: 200 epochs of warm-up, then 200 of SBCL, batch 256, a cosine for each.
_base_ = "./moco_200e.py"
param_scheduler = [
    dict(
        type="CosineRestartLR",
        by_epoch=True,
        periods=[200, 200],
        restart_weights=[1, 1],
        eta_min=0,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(max_epochs=400)
