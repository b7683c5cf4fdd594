_base_ = "./isda_r32_cifar10-lt100.py"
train_dataloader = dict(dataset=dict(imbalance_factor=10))
