# RIDE on ImageNet-LT: 100 epochs, lr 0.1 at batch 256, Nesterov, warm-up 5, x0.1 after epoch 60 and again after 80.
_base_ = "./experts_inat_100e.py"
optim_wrapper = dict(optimizer=dict(lr=0.1))
num_processes = 8
auto_scale_lr = dict(base_batch_size=256)
