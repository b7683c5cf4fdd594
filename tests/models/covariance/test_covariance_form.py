"""Quadratic forms in stored covariances, against loops over the formula."""

import pytest
import torch

from lt_plugins.errors import UserInputError
from lt_plugins.models.covariance import (
    DiagonalCovariance,
    FullCovariance,
    build_covariance_form,
    covariance_form,
)

GROUPS, CHANNELS, RANK = 5, 6, 3
FORMS = ["full", "diagonal"]


def covariances(rank=CHANNELS, seed=0):
    """Random covariances of a given rank."""
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(GROUPS, CHANNELS, rank, generator=generator, dtype=torch.float64)
    return factor @ factor.mT


def stored(name, covariance):
    """The form, and the covariances as it stores them: built up from outer products, which must add up to them."""
    form = build_covariance_form(name, CHANNELS).double()
    values, vectors = torch.linalg.eigh(covariance)
    total = torch.zeros(GROUPS, *form.shape, dtype=torch.float64)
    for k in range(CHANNELS):
        form.add_outer_(total, vectors[:, :, k], values[:, k : k + 1].clamp(min=0))
    return form, total


def slow_quadratic(weight, covariance, rows):
    """Entry by entry."""
    table = torch.zeros(len(rows), len(weight), dtype=torch.float64)
    for r, y in enumerate(rows):
        for j in range(len(weight)):
            for a in range(CHANNELS):
                for b in range(CHANNELS):
                    table[r, j] += (weight[j, a] - weight[y, a]) * covariance[y, a, b] * (weight[j, b] - weight[y, b])
    return table


def random_weight(seed=1):
    weight = torch.randn(GROUPS, CHANNELS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 5 + weight  # far from the origin


@pytest.mark.parametrize("rows", [None, torch.tensor([3, 0, 3])], ids=["all", "some"])
@pytest.mark.parametrize("name", FORMS)
def test_quadratic_equals_the_formula(name, rows):
    covariance = covariances(rank=RANK)
    form, kept = stored(name, covariance)
    expected = torch.diag_embed(covariance.diagonal(dim1=1, dim2=2)) if name == "diagonal" else covariance
    weight = random_weight()
    table = form.quadratic(weight, kept, rows)
    asked = range(GROUPS) if rows is None else rows.tolist()
    torch.testing.assert_close(table, slow_quadratic(weight, expected, asked), rtol=1e-9, atol=1e-9)
    own = table[range(len(table)), list(asked)]
    torch.testing.assert_close(own, torch.zeros_like(own), rtol=0, atol=1e-9)


@pytest.mark.parametrize("rows", [None, torch.tensor([3, 0, 3])], ids=["all", "some"])
@pytest.mark.parametrize("name", FORMS)
def test_gradient(name, rows):
    form, kept = stored(name, covariances())
    assert torch.autograd.gradcheck(
        lambda weight: form.quadratic(weight, kept, rows), (random_weight().requires_grad_(),)
    )


@pytest.mark.parametrize("rows", [None, torch.tensor([3, 0, 3])], ids=["all", "some"])
@pytest.mark.parametrize("name", ["full", "diagonal"])
def test_gradient_to_the_covariances(name, rows, monkeypatch):
    monkeypatch.setattr(covariance_form, "MAX_NUMBERS", 2 * GROUPS * CHANNELS)  # in two parts
    form, kept = stored(name, covariances())
    inputs = (random_weight().requires_grad_(), kept.requires_grad_())
    assert torch.autograd.gradcheck(lambda weight, covariance: form.quadratic(weight, covariance, rows), inputs)


@pytest.mark.parametrize("name", ["full", "diagonal"])
def test_gradient_of_a_gradient(name):
    """What learning covariances through a step of the weights needs (MetaSAug)."""
    form, kept = stored(name, covariances())
    inputs = (random_weight().requires_grad_(), kept.requires_grad_())
    assert torch.autograd.gradgradcheck(form.quadratic, inputs)


def test_full_form_is_the_same_in_parts(monkeypatch):
    form, kept = stored("full", covariances())
    results = []
    for numbers in (1, 2 * GROUPS * CHANNELS, 10**6):  # one row at a time, two, all
        monkeypatch.setattr(covariance_form, "MAX_NUMBERS", numbers)
        weight = random_weight().requires_grad_()
        table = form.quadratic(weight, kept)
        (table * torch.arange(GROUPS)).sum().backward()
        results.append((table.detach(), weight.grad))
    for table, gradient in results[1:]:
        torch.testing.assert_close(table, results[0][0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradient, results[0][1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("channels", "expected"), [(64, FullCovariance), (256, FullCovariance), (2048, DiagonalCovariance)]
)
def test_default_bounds_the_memory(channels, expected):
    assert type(build_covariance_form(None, channels)) is expected


def test_shapes_say_what_a_group_takes():
    assert build_covariance_form("full", 7).shape == (7, 7)
    assert build_covariance_form("diagonal", 7).shape == (7,)


def test_bad_settings():
    with pytest.raises(UserInputError, match="covariance='ful' is unknown; choose one of full, diagonal"):
        build_covariance_form("ful", 8)
