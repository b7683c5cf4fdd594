# ResNet-50 of BBN: all but the last block are shared by two branches, whose features one linear layer classifies.
_base_ = "./bbn_r32.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="MultiExpertResNet",
        depth=50,
        num_experts=2,
        shared_stages=3,
        shared_blocks=-1,
        zero_init_residual=False,
    ),
    head=dict(in_channels=2048),
)
