_base_ = ["../ce/ce_r32_digits.py", "../_base_/stages/fslwf.py"]
model = dict(
    head=dict(_delete_=True, type="CosineClsHead", num_classes=10, in_channels=64, scale=10.0, learn_scale=True)
)
# Five classes are base, of which two play novel ones; two episodes a step.
stage2 = dict(
    train_dataloader=dict(batch_size=44, sampler=dict(num_novel=2, base_queries=6)),
    auto_scale_lr=dict(base_batch_size=44),
)
variants = dict(average=dict(stage2=dict(model=dict(head=dict(attention=False)))))
