# From ImageNet weights, as cross-entropy; an episode on each of four processes.
_base_ = ["../ce/ce_r152_places-lt.py", "../_base_/stages/fslwf.py"]
model = dict(
    head=dict(_delete_=True, type="CosineClsHead", num_classes=365, in_channels=2048, scale=10.0, learn_scale=True)
)
stage2 = dict(model=dict(head=dict(attention_scale=30.0)), train_dataloader=dict(batch_size=55))
