# Stage 1 is that of MiSLAS, mixup.
_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/models/ce_r32.py",
    "../_base_/schedules/cifar_200e.py",
    "../_base_/stages/h2t.py",
    "../_base_/small_images_runtime.py",
]
model = dict(head=dict(loss=dict(use_soft=True)), train_cfg=dict(augments=dict(type="Mixup", alpha=1.0)))
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], gamma=0.1)]
stage2 = dict(optim_wrapper=dict(optimizer=dict(weight_decay=5e-4)))
# Of stage 2, that of stage 1.
decay = dict(stage2=dict(optim_wrapper=dict(optimizer=dict(weight_decay=2e-4))))
variants = dict(lt200=dict(train_dataloader=dict(dataset=dict(imbalance_factor=200)), **decay), lt50=decay, lt10=decay)
