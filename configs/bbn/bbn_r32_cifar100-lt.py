# BBN: two branches that differ in the last block of a ResNet-32, the second on images of the reversed sampler.
_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/models/bbn_r32.py",
    "../_base_/schedules/bbn_200e.py",
    "../_base_/small_images_runtime.py",
]
train_dataloader = dict(batch_sampler=_base_.reversed_companion)
