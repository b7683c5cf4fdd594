# For a CPU, in minutes: 200 iterations of 4 small images, few and small regions.
_base_ = "./faster-rcnn_r18-c4_2k_voc07-part.py"

resize = dict(type="Resize", scale=(320, 192), keep_ratio=True)
train_pipeline = [*_base_.train_pipeline[:2], resize, *_base_.train_pipeline[3:]]
test_pipeline = [_base_.test_pipeline[0], resize, *_base_.test_pipeline[2:]]
model = dict(
    roi_head=dict(bbox_roi_extractor=dict(roi_layer=dict(output_size=7)), bbox_head=dict(roi_feat_size=4)),
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=200), rcnn=dict(sampler=dict(num=16))),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=50), rcnn=dict(score_thr=0.01)),
)
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(dataset=dict(pipeline=train_pipeline))
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=200, milestones=[160], gamma=0.1),
]
train_cfg = dict(max_iters=200, val_interval=200)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=50), precise_bn=dict(num_samples=200))
num_processes = None  # of no published recipe, so with any batch
auto_scale_lr = dict(base_batch_size=4)
