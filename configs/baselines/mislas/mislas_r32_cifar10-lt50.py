_base_ = "./mislas_r32_cifar10-lt100.py"
previous_stage = dict(config="./mislas_r32_cifar10-lt50_stage1.py")
model = dict(head=dict(loss=dict(smooth_head=0.2)))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"head.fc": dict(lr_mult=0.2)}))
train_dataloader = dict(dataset=dict(imbalance_factor=50))
