_base_ = "../scl/scl_r32_cifar100-lt.py"
model = dict(
    head=dict(
        loss=dict(_delete_=True, type="SBCLLoss", temperature=0.1, beta=0.25),
        warmup_loss=dict(type="SupConLoss", temperature=0.1),
    )
)
recluster = dict(type="ReclusterHook", start=10, interval=10, task=dict(type="SubclassClustering", min_size=10))
temperature = dict(type="TemperatureHook")
custom_hooks = [recluster, temperature]
variants = {
    "attributes": dict(custom_hooks=[recluster, temperature, *_base_.attributes.cifar_1000e.custom_hooks]),
    # Table 5: without warm-up; k-means with as many clusters of any size; e * tau1 for every class, what Eq. 5 gives to
    # an average one
    "no-warmup": dict(custom_hooks=[dict(recluster, start=0), temperature]),
    "kmeans": dict(
        custom_hooks=[dict(recluster, task=dict(type="SubclassClustering", min_size=10, balanced=False)), temperature]
    ),
    "fixed-temperature": dict(custom_hooks=[recluster]),
    # The settings of the released code, where they differ from the paper: see docs/sbcl.md.
    "released": dict(
        model=dict(head=dict(loss=dict(base_temperature=0.07))),
        custom_hooks=[
            dict(
                type="ReclusterHook",
                start=10,
                interval=10,
                task=dict(
                    type="SubclassClustering",
                    min_size=10,
                    max_iters=35,
                    balanced=False,
                    rounding="down",
                    start="random",
                ),
            ),
            dict(type="TemperatureHook", mode="linear"),
        ],
    ),
}
