# BalPoE on CIFAR-LT, without dataset: experts of full width, Mixup, standard recipe of 200 epochs.
_base_ = [
    "./pipelines/rotation_cifar.py",
    "./pipelines/autoaugment_cifar.py",
    "./pipelines/test_views_cifar.py",
    "./models/experts_r32.py",
    "./schedules/experts_cifar_200e.py",
]
model = dict(
    backbone=dict(expert_width=1.0),
    head=dict(in_channels=64, loss=dict(type="BalPoELoss", tau=(0.0, 1.0, 2.0))),
    train_cfg=dict(augments=dict(type="Mixup", alpha=0.4)),
)

# Variants: `long` is the long recipe, 400 epochs with AutoAugment in place of rotations and no Cutout, as released;
# `experts7` has seven experts, of strengths from 0 to 2.
balpoe_variants = dict(
    long=dict(
        train_dataloader=dict(
            dataset=dict(
                dataset=dict(
                    pipeline=[step for step in _base_.autoaugment_train_pipeline if step["type"] != "ClippedCutout"]
                )
            )
        ),
        param_scheduler=[
            dict(type="LinearLR", start_factor=0.1, by_epoch=True, begin=0, end=10),
            dict(type="MultiStepLR", by_epoch=True, milestones=[320, 360], gamma=0.1),
        ],
        train_cfg=dict(max_epochs=400),
    ),
    experts7=dict(model=dict(backbone=dict(num_experts=7), head=dict(num_experts=7, loss=dict(num_experts=7)))),
)
