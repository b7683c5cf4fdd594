_base_ = "./kcl_r32_cifar100-lt100.py"
previous_stage = dict(config="./kcl_r32_cifar100-lt50_stage1.py")
train_dataloader = dict(dataset=dict(imbalance_factor=50))
