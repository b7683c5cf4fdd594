"""Vector-scaling loss against its formula in plain Python, its special cases, and the second phase (TLA)."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import LogitAdjustmentLoss, VectorScalingLoss
from tests import battery

COUNTS = [500, 81, 16, 1]
LABELS = torch.tensor([0, 3, 1, 2, 0, 0])
CIFAR100 = [int(500 * 0.01 ** (label / 99)) for label in range(100)]


def make_loss(counts: list[int] = COUNTS, **kwargs: Any) -> VectorScalingLoss:
    loss = VectorScalingLoss(**kwargs)
    loss.class_distribution.set_counts(counts)
    return loss


def logits_of(seed: int = 0) -> Tensor:
    return 2 * battery.noise(6, 4, seed=seed).double()


def slow_vs(logits: Tensor, labels: Tensor, gamma: float, tau: float, power: float = 0.0) -> float:
    """METHODS_BEYOND 8, image by image: Delta_c = (n_c / n_max)^gamma, iota_c = tau log pi_c, w_c = pi_c^-power."""
    total = mass = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        exponentials = [
            math.exp((n / max(COUNTS)) ** gamma * z) * (n / sum(COUNTS)) ** tau
            for z, n in zip(row, COUNTS, strict=True)
        ]
        weight = (COUNTS[label] / sum(COUNTS)) ** -power
        total -= weight * math.log(exponentials[label] / math.fsum(exponentials))
        mass += weight
    return total / mass


@pytest.mark.parametrize(("gamma", "tau"), [(0.05, 1.0), (0.3, 1.0), (0.2, 1.2), (0.15, 0.0), (0.0, 0.5), (2.0, 0.1)])
@pytest.mark.parametrize("power", [0.0, 0.25])
def test_equals_the_formula(gamma: float, tau: float, power: float) -> None:
    loss = make_loss(gamma=gamma, tau=tau, class_weight="inverse_power", weight_power=power)
    expected = slow_vs(logits_of(), LABELS, gamma, tau, power)
    assert float(loss(logits_of(), LABELS)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("counts", [COUNTS, [500, 81, 16, 0]])
@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_without_factors_it_is_logit_adjustment(tau: float, counts: list[int]) -> None:
    adjusted = LogitAdjustmentLoss(tau=tau)
    adjusted.class_distribution.set_counts(counts)
    labels = LABELS.clamp(max=2)
    assert torch.equal(make_loss(counts, gamma=0.0, tau=tau)(logits_of(), labels), adjusted(logits_of(), labels))


@given(st.floats(0, 3), st.floats(0, 3))
def test_equal_counts_leave_cross_entropy(gamma: float, tau: float) -> None:
    value = make_loss([7] * 4, gamma=gamma, tau=tau)(logits_of(), LABELS)
    assert float(value) == pytest.approx(float(F.cross_entropy(logits_of(), LABELS)), rel=1e-12)


@pytest.mark.parametrize(("gamma", "smallest"), [(0.05, 0.79), (0.15, 0.50)])
def test_factors_on_cifar100(gamma: float, smallest: float) -> None:
    """The numbers of METHODS_BEYOND 8."""
    factors = make_loss(CIFAR100, gamma=gamma).factors()
    assert float(factors[0]) == float(factors.max()) == 1
    assert float(factors.min()) == float(factors[-1]) == pytest.approx(smallest, abs=0.005)


def test_a_factor_raises_a_negative_logit() -> None:
    """It acts on signed logits: what helps a rare class above zero hinders it below."""
    cdt, rare = make_loss(gamma=0.3, tau=0.0), torch.tensor([3])
    for logit in (2.0, -2.0):
        logits = torch.tensor([[0.0, 0.0, 0.0, logit]], dtype=torch.float64)
        change = float(cdt(logits, rare) - F.cross_entropy(logits, rare))
        assert math.copysign(1, change) == math.copysign(1, logit)


def test_an_empty_class_leaves_the_softmax_only_by_its_prior() -> None:
    labels, counts = LABELS.clamp(max=2), [500, 81, 16, 0]
    value = make_loss(counts)(logits_of(), labels)
    assert torch.equal(value, make_loss(counts[:3])(logits_of()[:, :3], labels))
    factors = make_loss(counts, tau=0.0).factors()
    assert factors[3] == factors[2], "that of the rarest class"
    assert torch.isfinite(make_loss(counts, tau=0.0)(logits_of(), labels))


# ----------------------------------------------------------------------------------------------------- second phase

BOTH: dict[str, Any] = dict(class_weight="inverse_power", weight_power=0.25, reweight_from=3)


def test_from_the_switch_on_logit_adjustment_is_left() -> None:
    loss = make_loss(gamma=0.3, tau=1.0, switch_from=3, late_tau=0.75, **BOTH)
    first, second = slow_vs(logits_of(), LABELS, 0.3, 1.0), slow_vs(logits_of(), LABELS, 0.0, 0.75, power=0.25)
    assert float(loss(logits_of(), LABELS)) == pytest.approx(first, rel=1e-12), "before any epoch"
    for epoch, expected in ((0, first), (2, first), (3, second), (4, second), (1, first)):
        loss.set_epoch(epoch, 5)
        assert float(loss(logits_of(), LABELS)) == pytest.approx(expected, rel=1e-12), epoch


def test_the_strength_stays_where_no_other_is_given() -> None:
    loss = make_loss(gamma=0.3, tau=1.2, switch_from=1)
    loss.set_epoch(1, 2)
    assert float(loss(logits_of(), LABELS)) == pytest.approx(slow_vs(logits_of(), LABELS, 0.0, 1.2), rel=1e-12)
    assert loss.current_tau() == 1.2


def test_a_strength_of_zero_is_one() -> None:
    loss = make_loss(switch_from=0, late_tau=0.0)
    assert float(loss(logits_of(), LABELS)) == pytest.approx(float(F.cross_entropy(logits_of(), LABELS)), rel=1e-12)


def test_without_a_switch_no_epoch_changes_it() -> None:
    loss = make_loss(gamma=0.3)
    before = loss(logits_of(), LABELS)
    assert loss.set_epoch(399, 400) is None
    assert torch.equal(loss(logits_of(), LABELS), before)


def test_epochs_are_described_for_the_log() -> None:
    loss = make_loss(CIFAR100, switch_from=3, late_tau=0.75, **BOTH)
    assert loss.set_epoch(2, 5) == "equal class weights, logits times 0.794 to 1, tau 1"
    assert loss.set_epoch(3, 5) == "class weights from 0.528 to 1.67, logits times 1 to 1, tau 0.75"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (dict(gamma=-0.1), "gamma=-0.1 and tau=1.0 must be 0 or more"),
        (dict(tau=float("nan")), "tau=nan"),
        (dict(switch_from=-1), "switch_from=-1 must be an epoch from 0 on"),
        (dict(switch_from=3, late_tau=-1.0), "late_tau=-1.0 must be 0 or more"),
        (dict(late_tau=0.75), "late_tau=0.75 needs switch_from"),
    ],
)
def test_settings_without_meaning_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        VectorScalingLoss(**bad)
