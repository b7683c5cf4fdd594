# For images of a short side of 320 and less, hence the smaller anchors.
_base_ = "./faster-rcnn_r50-c4.py"

model = dict(
    backbone=dict(depth=18),
    rpn_head=dict(in_channels=256, feat_channels=256, anchor_generator=dict(scales=[1, 2, 4, 8, 16])),
    roi_head=dict(
        shared_head=dict(depth=18),
        bbox_roi_extractor=dict(out_channels=256),
        bbox_head=dict(in_channels=512),
    ),
)
