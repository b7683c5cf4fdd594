_base_ = "./isda_r32_cifar100-lt100.py"
train_dataloader = dict(dataset=dict(imbalance_factor=50))
