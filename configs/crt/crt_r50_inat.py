_base_ = ["../ce/ce_r50_inat.py", "../_base_/stages/crt.py"]
stage2 = dict(param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=30)], train_cfg=dict(max_epochs=30))
# Tables quote both lengths of the first stage, 90 and 200 epochs.
variants = {
    "200e": dict(
        param_scheduler=[
            dict(type="CosineAnnealingLR", by_epoch=True, T_max=200, convert_to_iter_based=True),
        ],
        train_cfg=dict(max_epochs=200),
    )
}
