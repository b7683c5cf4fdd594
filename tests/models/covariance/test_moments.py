"""Running moments over several batches, against numpy on all features at once."""

import numpy as np
import pytest
import torch

from lt_plugins.models.covariance import (
    Moments,
    build_covariance_form,
    group_sums,
    moments,
    sums_to_moments,
    update_moments,
)

GROUPS, CHANNELS = 4, 5
FORMS = ["full", "diagonal"]


def features(number=90, seed=0):
    """Correlated features far from the origin."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(CHANNELS, CHANNELS, generator=generator, dtype=torch.float64)
    return 20 + torch.randn(number, CHANNELS, generator=generator, dtype=torch.float64) @ mix


def nothing_known(form):
    return Moments(
        torch.zeros(GROUPS, dtype=torch.float64),
        torch.zeros(GROUPS, CHANNELS, dtype=torch.float64),
        torch.zeros(GROUPS, *form.shape, dtype=torch.float64),
    )


def absorb(known, values, assignment, form):
    reference = known.mean.mean(dim=0)
    sums = group_sums(values, assignment, GROUPS, reference, form)
    update_moments(known, sums_to_moments(sums, reference, form), form)


def as_stored(covariance, name):
    return np.diag(covariance) if name == "diagonal" else covariance


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "weights"])
@pytest.mark.parametrize("name", FORMS)
def test_batches_add_up_to_numpy(name, soft):
    form = build_covariance_form(name, CHANNELS).double()
    values = features()
    generator = torch.Generator().manual_seed(1)
    if soft:
        assignment = torch.rand(len(values), GROUPS, generator=generator, dtype=torch.float64)
        weights = assignment
    else:
        assignment = torch.randint(GROUPS, (len(values),), generator=generator)
        weights = torch.nn.functional.one_hot(assignment, GROUPS).double()
    known = nothing_known(form)
    for rows in torch.arange(len(values)).split([7, 40, 1, 42]):
        absorb(known, values[rows], assignment[rows], form)
    for group in range(GROUPS):
        weight = weights[:, group].numpy()
        mean = np.average(values.numpy(), axis=0, weights=weight)
        covariance = np.cov(values.numpy(), rowvar=False, aweights=weight, ddof=0)
        assert float(known.count[group]) == pytest.approx(weight.sum(), rel=1e-12)
        np.testing.assert_allclose(known.mean[group].numpy(), mean, rtol=1e-12)
        np.testing.assert_allclose(known.covariance[group].numpy(), as_stored(covariance, name), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FORMS)
def test_absent_group_keeps_its_state(name):
    form = build_covariance_form(name, CHANNELS).double()
    known = nothing_known(form)
    absorb(known, features(30), torch.arange(30) % GROUPS, form)
    before = [getattr(known, field)[2].clone() for field in ("count", "mean", "covariance")]
    absorb(known, features(5, seed=3), torch.tensor([0, 1, 3, 0, 1]), form)
    for field, value in zip(("count", "mean", "covariance"), before, strict=True):
        assert torch.equal(getattr(known, field)[2], value), field
    assert float(known.count[0]) > float(before[0])


def test_single_features_leave_no_covariance_within_a_batch():
    """The trajectory of a point: only the differences of the means remain, as numpy says."""
    form = build_covariance_form("full", CHANNELS).double()
    known = nothing_known(form)
    path = features(6)
    for value in path:
        absorb(known, value.expand(GROUPS, -1), torch.arange(GROUPS), form)
    np.testing.assert_allclose(
        known.covariance[1].numpy(), np.cov(path.numpy(), rowvar=False, ddof=0), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "weights"])
def test_parts_of_a_batch_add_up(soft, monkeypatch):
    form = build_covariance_form("full", CHANNELS).double()
    values = features(23)
    assignment = torch.rand(23, GROUPS, dtype=torch.float64) if soft else torch.arange(23) % GROUPS
    whole = group_sums(values, assignment, GROUPS, values[0], form)
    monkeypatch.setattr(moments, "MAX_NUMBERS", 4 * CHANNELS * CHANNELS)  # four features at a time
    for one, other in zip(group_sums(values, assignment, GROUPS, values[0], form), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_far_from_the_origin_float32_is_enough():
    """What the reference is for: the squares of these features have no digits left for their variance."""
    form = build_covariance_form("diagonal", CHANNELS)
    values = 1e4 + features(200)
    known = Moments(torch.zeros(1), torch.full((1, CHANNELS), 1e4), torch.zeros(1, CHANNELS))
    reference = known.mean.mean(dim=0)
    sums = group_sums(values, torch.zeros(200, dtype=torch.int64), 1, reference, form)
    update_moments(known, sums_to_moments(sums, reference, form), form)
    torch.testing.assert_close(known.covariance[0].double(), values.var(dim=0, unbiased=False), rtol=1e-3, atol=0)
