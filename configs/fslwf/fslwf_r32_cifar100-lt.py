# FSLwF on the LDAM recipe: a cosine classifier with a learned scale, then a generator of few-shot classes' weights.
_base_ = ["../ce/ce_r32_cifar100-lt.py", "../_base_/stages/fslwf.py"]
model = dict(
    head=dict(_delete_=True, type="CosineClsHead", num_classes=100, in_channels=64, scale=10.0, learn_scale=True)
)
variants = dict(
    average=dict(stage2=dict(model=dict(head=dict(attention=False)))),  # the generator averages features only
    many=dict(stage2=dict(train_dataloader=dict(sampler=dict(few_threshold=101)))),  # base are many-shot classes only
)
