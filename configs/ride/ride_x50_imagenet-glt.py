_base_ = [
    "../_base_/datasets/imagenet-glt.py",
    "../_base_/models/ride_glt_x50.py",
    "../_base_/schedules/ride_glt_100e.py",
    "../_base_/default_runtime.py",
]
# :ce trains the experts with cross-entropy alone.
variants = dict(ce=_base_.experts_ce)
