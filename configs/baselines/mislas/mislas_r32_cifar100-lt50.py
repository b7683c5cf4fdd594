_base_ = "./mislas_r32_cifar100-lt100.py"
previous_stage = dict(config="./mislas_r32_cifar100-lt50_stage1.py")
model = dict(head=dict(loss=dict(smooth_head=0.3, smooth_tail=0.0)))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"head.fc": dict(lr_mult=0.1)}))
train_dataloader = dict(dataset=dict(imbalance_factor=50))
