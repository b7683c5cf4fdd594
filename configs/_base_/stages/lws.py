# Second stage of LWS (Kang et al.): the classifier of stage 1 stays, a scale for each class learns; the rest is that of
# cRT. 10 epochs, of which the released code takes 5 on ImageNet-LT, iNaturalist and Places-LT.
_base_ = "./crt.py"
stage2 = dict(
    model=dict(reuse_head=True, head=dict(type="LWSClsHead", learn_linear=False)),
)
