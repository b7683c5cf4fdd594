# A variant of methods that were published with it: ResNet-34 of 64 to 512 channels with a stem of 3 x 3, 21.3 M
# parameters, where ResNet-32 has 0.47 M.
r34 = dict(
    model=dict(
        backbone=dict(
            _delete_=True,
            type="ResNet_CIFAR",
            depth=34,
            num_stages=4,
            out_indices=(3,),
            style="pytorch",
            zero_init_residual=False,
        ),
        head=dict(in_channels=512),
    )
)
