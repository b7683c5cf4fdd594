_base_ = "./sbcl-released_r32_cifar100-lt100_stage1.py"
train_dataloader = dict(dataset=dict(imbalance_factor=50))
