_base_ = ["../ce/ce_r32_digits.py", "../_base_/cb_focal.py"]
model = dict(head=_base_.cb_focal.head)
optim_wrapper = _base_.cb_focal.optim_wrapper
# :softmax is focal loss on the softmax probability of the true class, from the weights of cross-entropy.
variants = dict(
    softmax=dict(
        model=dict(head=dict(loss=dict(type="SoftmaxFocalLoss"), init_cfg=[_base_.model.head.init_cfg])),
        optim_wrapper=dict(paramwise_cfg=None),
    )
)
