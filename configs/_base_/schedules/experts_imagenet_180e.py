# Multi-expert networks on ImageNet-LT (SADE, BalPoE): 180 epochs, lr 0.025 at batch 64, Nesterov, cosine.
_base_ = "./cosine_180e.py"
optim_wrapper = dict(optimizer=dict(lr=0.025, nesterov=True))
num_processes = 2
auto_scale_lr = dict(base_batch_size=64)
