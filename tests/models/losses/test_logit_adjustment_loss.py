"""Logit adjustment and balanced softmax against the formulas of their papers, in plain Python."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import BalancedSoftmaxLoss, LogitAdjustmentLoss, LongTailLoss
from tests import battery

COUNTS = [500, 81, 16, 1]
LABELS = torch.tensor([0, 3, 1, 2, 0, 0])


def with_counts(loss: LongTailLoss, counts: list[int] = COUNTS) -> LongTailLoss:
    loss.class_distribution.set_counts(counts)
    return loss


def logits_of(seed: int = 0) -> Tensor:
    return 2 * battery.noise(6, 4, seed=seed).double()


def slow_adjusted(logits: Tensor, counts: list[int], tau: float) -> float:
    """Menon et al., Eq. 10: log(1 + sum_c (pi_c / pi_y)^tau e^(z_c - z_y)) over the other classes c."""
    total = 0.0
    for row, label in zip(logits.tolist(), LABELS.tolist(), strict=True):
        others = [c for c in range(len(row)) if c != label]
        total += math.log1p(sum((counts[c] / counts[label]) ** tau * math.exp(row[c] - row[label]) for c in others))
    return total / len(logits)


def slow_balanced_softmax(logits: Tensor, counts: list[int]) -> float:
    """Ren et al., Eq. 4: each class as often in the denominator as it has images."""
    total = 0.0
    for row, label in zip(logits.tolist(), LABELS.tolist(), strict=True):
        exponentials = [math.exp(z) for z, n in zip(row, counts, strict=True) for _ in range(n)]
        total -= math.log(counts[label] * math.exp(row[label]) / math.fsum(exponentials))
    return total / len(logits)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.5])
def test_equals_the_formula(tau: float) -> None:
    loss = with_counts(LogitAdjustmentLoss(tau=tau))
    assert float(loss(logits_of(), LABELS)) == pytest.approx(slow_adjusted(logits_of(), COUNTS, tau), rel=1e-12)


def test_balanced_softmax_equals_its_formula() -> None:
    loss = with_counts(BalancedSoftmaxLoss())
    assert float(loss(logits_of(), LABELS)) == pytest.approx(slow_balanced_softmax(logits_of(), COUNTS), rel=1e-12)


@given(st.lists(st.integers(0, 10_000), min_size=4, max_size=4).filter(lambda counts: counts[0] > 0))
def test_balanced_softmax_is_logit_adjustment_with_tau_1(counts: list[int]) -> None:
    labels = torch.zeros(6, dtype=torch.int64)
    one, other = with_counts(BalancedSoftmaxLoss(), counts), with_counts(LogitAdjustmentLoss(tau=1.0), counts)
    assert torch.equal(one(logits_of(), labels), other(logits_of(), labels))


@pytest.mark.parametrize("counts", [COUNTS, [500, 81, 16, 0]])
def test_without_strength_it_is_cross_entropy_over_all_classes(counts: list[int]) -> None:
    loss = with_counts(LogitAdjustmentLoss(tau=0.0), counts)
    torch.testing.assert_close(loss(logits_of(), LABELS), F.cross_entropy(logits_of(), LABELS), rtol=1e-14, atol=0)


@pytest.mark.parametrize("kind", [LogitAdjustmentLoss, BalancedSoftmaxLoss])
def test_an_empty_class_is_no_part_of_the_softmax(kind: type[LongTailLoss]) -> None:
    logits, labels = logits_of().requires_grad_(), LABELS.clamp(max=2)
    value = with_counts(kind(), [500, 81, 16, 0])(logits, labels)
    value.backward()
    assert torch.equal(value, with_counts(kind(), [500, 81, 16])(logits[:, :3], labels))
    gradient = logits.grad
    assert gradient is not None
    assert torch.equal(gradient[:, 3], torch.zeros(6, dtype=torch.float64))
    assert torch.isfinite(gradient).all()


def test_priors_of_float32_logits_are_rounded_once() -> None:
    """Cast after the logarithm: priors of 1e-9 and their sums would lose digits in float32."""
    counts = [1_000_000_000, 7, 3, 1]
    value = with_counts(LogitAdjustmentLoss(tau=1.5), counts)(logits_of().float(), LABELS)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(slow_adjusted(logits_of(), counts, 1.5), rel=1e-6)


@pytest.mark.parametrize("kind", [LogitAdjustmentLoss, BalancedSoftmaxLoss])
def test_unknown_counts_are_refused(kind: type[LongTailLoss]) -> None:
    with pytest.raises(UserInputError, match="class counts are not known yet"):
        kind()(logits_of(), LABELS)


def test_a_negative_strength_is_refused() -> None:
    with pytest.raises(UserInputError, match="tau=-1 must be 0 or more"):
        LogitAdjustmentLoss(tau=-1)
