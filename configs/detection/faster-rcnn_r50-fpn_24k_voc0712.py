_base_ = [
    "mmdet::_base_/models/faster-rcnn_r50_fpn.py",
    "_base_/voc0712.py",
    "_base_/schedule_24k.py",
    "_base_/runtime.py",
]
model = dict(
    backbone=dict(frozen_stages=-1, norm_eval=False, zero_init_residual=False, init_cfg=None),
    # Normalised, so that one learning rate suits features of any scale.
    neck=dict(norm_cfg=dict(type="BN", requires_grad=True)),
    roi_head=dict(bbox_head=dict(num_classes=20)),
)
