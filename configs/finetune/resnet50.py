# ResNet-50 from weights in a file, --pretrained: the classifier learns ten times as fast as the last stage.
_base_ = ["../_base_/models/ce_r50.py", "../_base_/finetune.py"]
pretrained = "needed"
pretrained_on = "labels of the file that --pretrained names"
model = dict(head=dict(num_classes=10, loss=dict(_delete_=True, type="LogitAdjustmentLoss")))
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=10.0))))
