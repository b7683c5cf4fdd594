"""Generalized cross-entropy against its formula, and its two ends."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import GeneralizedCrossEntropyLoss
from tests import battery

LABELS = torch.tensor([0, 3, 1, 2, 0, 0])


def logits_of() -> Tensor:
    return 2 * battery.noise(6, 4).double()


def gradient(value: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(value, logits)[0]


@pytest.mark.parametrize("q", [0.1, 0.7, 1.0])
def test_equals_the_formula(q: float) -> None:
    losses = []
    for row, label in zip(logits_of().tolist(), LABELS.tolist(), strict=True):
        p = math.exp(row[label]) / sum(map(math.exp, row))
        losses.append((1 - p**q) / q)
    loss = GeneralizedCrossEntropyLoss(q=q)
    assert loss.per_sample(logits_of(), LABELS).tolist() == pytest.approx(losses, rel=1e-12)


@pytest.mark.parametrize("q", [0.0, 1e-30, 1e-12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_small_exponent_approaches_cross_entropy(q: float, dtype: torch.dtype) -> None:
    logits = logits_of().to(dtype).requires_grad_()
    value, expected = GeneralizedCrossEntropyLoss(q=q)(logits, LABELS), F.cross_entropy(logits, LABELS)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient(value, logits), gradient(expected, logits), rtol=1e-5, atol=1e-8)


def test_the_largest_exponent_is_half_the_absolute_error() -> None:
    error = (F.one_hot(LABELS, 4) - logits_of().softmax(dim=1)).abs().sum(dim=1)
    value = GeneralizedCrossEntropyLoss(q=1.0).per_sample(logits_of(), LABELS)
    torch.testing.assert_close(value, error / 2, rtol=1e-12, atol=0)


def test_its_gradient_is_that_of_the_weighted_cross_entropy_of_lff() -> None:
    """METHODS 9.2: cross-entropy times q p^q, which has no gradient."""
    logits = logits_of().requires_grad_()
    losses = F.cross_entropy(logits, LABELS, reduction="none")
    released = (0.7 * torch.exp(-0.7 * losses.detach()) * losses).mean()
    value = GeneralizedCrossEntropyLoss(q=0.7, loss_weight=0.7)(logits, LABELS)
    torch.testing.assert_close(gradient(value, logits), gradient(released, logits), rtol=1e-10, atol=1e-15)


def test_a_hopeless_image_has_a_bounded_loss() -> None:
    logits = torch.tensor([[-1000.0, 0.0]], requires_grad=True)
    value = GeneralizedCrossEntropyLoss(q=0.7)(logits, torch.tensor([0]))
    assert float(value) == pytest.approx(1 / 0.7)
    assert torch.equal(gradient(value, logits), torch.zeros(1, 2))


@pytest.mark.parametrize("q", [-0.1, 1.1])
def test_exponents_without_meaning_are_refused(q: float) -> None:
    with pytest.raises(UserInputError, match=f"q={q} must be from 0"):
        GeneralizedCrossEntropyLoss(q=q)
