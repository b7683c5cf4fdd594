_base_ = [
    "../_base_/datasets/cifar10-lt.py",
    "../_base_/models/ce_r32.py",
    "../_base_/schedules/cifar_200e.py",
    "../_base_/stages/mislas.py",
    "../_base_/small_images_runtime.py",
]
model = dict(
    head=dict(num_classes=10, loss=dict(use_soft=True)), train_cfg=dict(augments=dict(type="Mixup", alpha=1.0))
)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], gamma=0.1)]


def smoothing(head, tail, lr_mult):
    """Stage 2: smoothing of the most and the least frequent class, learning rate of the classifier over the base's."""
    # On CIFAR-10 the statistics of batch norms stay.
    return dict(
        model=dict(norm_eval=True, head=dict(loss=dict(smooth_head=head, smooth_tail=tail))),
        optim_wrapper=dict(paramwise_cfg=dict(custom_keys={"head.fc": dict(lr_mult=lr_mult)})),
    )


stage2 = smoothing(0.3, 0.0, 0.5)
variants = dict(lt50=dict(stage2=smoothing(0.2, 0.0, 0.2)), lt10=dict(stage2=smoothing(0.1, 0.0, 0.2)))
