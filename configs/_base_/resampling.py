# Variants of class-balanced re-sampling: other probabilities of the classes.
def _sampler(**settings):
    """Patch of a config whose sampler is a ClassBalancedSampler."""
    return dict(train_dataloader=dict(sampler=settings))


resampling = {
    "sqrt": _sampler(power=0.5),
    "reverse": _sampler(power=-1.0),
    "effective": _sampler(rule="effective_number"),
    "progressive": _sampler(progressive=True),
    "class-aware": _sampler(_delete_=True, type="ClassAwareSampler"),
}
