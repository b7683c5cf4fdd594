# RIDE with its router, which asks as many of the three experts as an image needs; gates read 50 logits.
_base_ = ["./ride_x50_imagenet-lt.py", "../_base_/stages/ride_router.py"]
stage2 = dict(model=dict(num_top=50), num_processes=1)
