# 500 + 500 images of VOC 2007 at a short side of 320 (../shared/data). Not for comparison with published numbers.
_base_ = "./voc0712.py"

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type="RandomChoiceResize", scales=[(534, short) for short in range(192, 321, 32)], keep_ratio=True),
    *_base_.train_pipeline[3:],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type="Resize", scale=(534, 320), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
train_dataloader = dict(
    batch_size=16, dataset=dict(dataset=dict(_delete_=True, **{**_base_.voc2007, "pipeline": train_pipeline}))
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
