# CMO: boxes of class-uniform images on the images of a batch, with probability 1/2, but in the first four and the last
# three of 200 epochs. A config takes it by model=dict(train_cfg=dict(augments=_base_.cmo)) and
# train_dataloader=dict(batch_sampler=_base_.uniform_companion).
cmo = dict(type="CMO", alpha=1.0, prob=0.5, mix_from=4, mix_until=197)
uniform_companion = dict(type="CompanionBatchSampler", companions=[dict(type="ClassBalancedSampler")])

# Deferred class weights, by which the losses of backgrounds and foregrounds are divided separately, as released.
cmo_drw = dict(class_weight="effective_number", reweight_from=160, normalize_by="labels")
# Other losses of the paper, as variants of CE-DRW on CIFAR; the head of LDAM-DRW lacks num_classes.
cmo_plain = dict(model=dict(head=dict(loss=dict(_delete_=True, type="WeightedCrossEntropyLoss"))))
cmo_balanced_softmax = dict(model=dict(head=dict(loss=dict(_delete_=True, type="BalancedSoftmaxLoss"))))
cmo_ldam_head = dict(
    _delete_=True,
    type="CosineClsHead",
    in_channels=64,
    scale=30.0,
    loss=dict(type="LDAMLoss", max_margin=0.5, scale=30.0, **cmo_drw),
)
