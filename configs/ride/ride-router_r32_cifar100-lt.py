# RIDE with its router, which asks as many of the three experts as an image needs.
_base_ = ["./ride_r32_cifar100-lt.py", "../_base_/stages/ride_router.py"]
