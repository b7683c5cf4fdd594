# Invariant feature learning (IFL, arXiv:2207.09504) on any method: patches of a config by images a step and epochs. As
# released: a batch of two environments, each drawn with replacement, so that an epoch has twice as many steps; centre
# loss in both from 60 % of the epochs on, to centres that are random until then; the second environment is renewed at
# the end of the epochs 60 and 80 of 100.
def _environments(number, batch_size):
    """Batches of as many environments, together about as large."""
    return dict(
        batch_size=-(-batch_size // number),
        batch_sampler=dict(
            type="CompanionBatchSampler",
            companions=[dict(type="EnvironmentSampler", environment=e) for e in range(1, number)],
        ),
    )


def _hook(epochs, **settings):
    return dict(type="EnvironmentHook", milestones=[3 * epochs // 5, 4 * epochs // 5], **settings)


def _ifl(batch_size, epochs):
    early, late = 3 * epochs // 5, 4 * epochs // 5
    center = dict(type="CenterLoss", update="batch", moves_at_zero=False, weights=[[early, 0.001], [late, 0.005]])
    recorder = dict(type="EnvironmentRecorder")
    rises = [[share * epochs // 10 + bool(share), 10.0 ** (share // 3 - 3)] for share in (0, 3, 6, 9)]
    two, three = _environments(2, batch_size), _environments(3, batch_size)
    whole = dict(batch_size=batch_size, batch_sampler=None)

    def classifier(center):
        return dict(type="AuxLossClassifier", num_environments=2, aux_losses=dict(center=center, environments=recorder))

    return dict(
        model=classifier(center),
        cosine_model=classifier(dict(center, distance="cosine")),  # of margin losses
        train_dataloader=dict(sampler=dict(_delete_=True, type="EnvironmentSampler", environment=0), **two),
        custom_hooks=[_hook(epochs)],
        auto_scale_lr=dict(base_batch_size=two["batch_size"]),
        variants=dict(
            one=dict(  # centre loss alone
                model=dict(num_environments=1, aux_losses=dict(_delete_=True, center=center)),
                train_dataloader=whole,
                custom_hooks=[],
                auto_scale_lr=dict(base_batch_size=batch_size),
            ),
            three=dict(
                model=dict(num_environments=3),
                train_dataloader=three,
                custom_hooks=[_hook(epochs, ratios=[2.0, 4.0])],
                auto_scale_lr=dict(base_batch_size=three["batch_size"]),
            ),
            irm=dict(  # compared: the penalty of IRM in the form of the released code, environments of each epoch
                model=dict(
                    aux_losses=dict(
                        _delete_=True,
                        irm=dict(type="IRMPenalty", form="class_scale", weights=rises),
                        environments=recorder,
                    )
                ),
                custom_hooks=[dict(type="EnvironmentHook")],
            ),
            moving=dict(model=dict(aux_losses=dict(center=dict(moves_at_zero=True)))),  # centres follow from the start
            unbalanced=dict(custom_hooks=[_hook(epochs, balance_classes=False)]),  # classes as frequent as they are
        ),
        # Of a second stage, which trains on batches of its own.
        stage2=dict(
            train_dataloader=whole, train_cfg=dict(val_interval=1), auto_scale_lr=dict(base_batch_size=batch_size)
        ),
    )


ifl = dict(glt=_ifl(256, 100), cifar100_glt=_ifl(128, 100), cifar100_lt=_ifl(128, 200), digits=_ifl(64, 30))
