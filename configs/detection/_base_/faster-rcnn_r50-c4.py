# Faster R-CNN R50-C4 of MoCo's protocol: the last stage of the ResNet works on regions, with one more normalisation
# after it (mmpretrain's ResLayerExtraNorm).
_base_ = "mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py"

# All layers learn, batch normalisations with their own statistics over all processes (`sync_bn`).
norm = dict(norm_cfg=dict(type="BN", requires_grad=True), norm_eval=False)
model = dict(
    # RGB as in the pre-training, and torchvision's ResNet: the 3x3 convolution of a block has the stride.
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(style="pytorch", frozen_stages=-1, zero_init_residual=False, init_cfg=None, **norm),
    roi_head=dict(
        shared_head=dict(type="ResLayerExtraNorm", style="pytorch", init_cfg=None, **norm),
        bbox_head=dict(num_classes=20),
    ),
)
