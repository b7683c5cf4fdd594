# Second stage of M2m: a network from scratch, by the recipe of stage 1, whose network translates images of frequent
# classes into rare ones in the last 40 of 200 epochs, while images are drawn class-balanced.
stage2 = dict(
    from_scratch=True,
    model=dict(
        type="M2mClassifier",
        head=dict(),  # that of stage 1
        teachers=[dict(stage=1)],
        translate_from=160,
        beta=0.999,
        lam=0.5,
        gamma=0.9,
    ),
    train_dataloader=dict(
        sampler=dict(
            _delete_=True,
            type="DeferredSampler",
            before=dict(type="DefaultSampler", shuffle=True),
            after=dict(type="ClassBalancedSampler"),
            start=160,
        )
    ),
)
# :ldam is M2m-LDAM, :gamma99 the threshold that is the default of the released code.
m2m_variants = dict(
    ldam=dict(
        stage2=dict(
            model=dict(
                head=dict(type="CosineClsHead", scale=30.0, loss=dict(type="LDAMLoss", max_margin=0.5, scale=30.0))
            )
        )
    ),
    gamma99=dict(stage2=dict(model=dict(gamma=0.99))),
)
