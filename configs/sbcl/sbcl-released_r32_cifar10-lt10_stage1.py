_base_ = "./sbcl-released_r32_cifar10-lt100_stage1.py"
train_dataloader = dict(dataset=dict(imbalance_factor=10))
