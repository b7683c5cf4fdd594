# For a CPU, 2 epochs at batch 128. Not for comparison with published numbers.
_base_ = "./ce_r18_tiny-imagenet-lt.py"
optim_wrapper = dict(optimizer=dict(lr=0.05))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=2, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=2)
num_processes = None  # of no published recipe, so with any batch
auto_scale_lr = dict(base_batch_size=128)
