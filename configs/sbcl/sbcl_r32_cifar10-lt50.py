_base_ = "./sbcl_r32_cifar10-lt100.py"
previous_stage = dict(config="./sbcl_r32_cifar10-lt50_stage1.py")
train_dataloader = dict(dataset=dict(imbalance_factor=50))
