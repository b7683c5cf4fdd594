# RIDE with its router, which asks as many of the three experts as an image needs.
_base_ = ["./ride_r32_digits.py", "../_base_/stages/ride_router.py"]
# An epoch is six steps of 64.
stage2 = dict(train_dataloader=dict(batch_size=64), auto_scale_lr=dict(base_batch_size=64))
