"""Focal losses against the formulas, in plain Python, and where their numbers leave float32."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import SigmoidFocalLoss, SoftmaxFocalLoss, WeightedCrossEntropyLoss
from tests import battery

getcontext().prec = 60
Kind = type[SoftmaxFocalLoss] | type[SigmoidFocalLoss]
LABELS = torch.tensor([0, 3, 1, 2, 0, 0])
SHARES = torch.tensor([[0.3, 0.0, 0.0, 0.7], [0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
GAMMAS = [0.0, 0.5, 1.0, 2.0, 5.0]


def logits_of(seed: int = 0) -> Tensor:
    return 2 * battery.noise(6, 4, seed=seed).double()


def slow_softmax_focal(logits: Tensor, labels: Tensor, gamma: float) -> list[float]:
    """METHODS 3.2, image by image."""
    losses = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        p = math.exp(row[label]) / sum(map(math.exp, row))
        losses.append(-((1 - p) ** gamma) * math.log(p))
    return losses


def slow_sigmoid_focal(logits: Tensor, labels: Tensor, gamma: float) -> list[float]:
    """METHODS 3.3, class by class."""
    losses = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        total = 0.0
        for c, z in enumerate(row):
            p = 1 / (1 + math.exp(-z))
            p = p if c == label else 1 - p
            total -= (1 - p) ** gamma * math.log(p)
        losses.append(total)
    return losses


def exact_focal(log_odds: float, gamma: float) -> tuple[float, float]:
    """Value and slope by the log-odds, with 60 digits."""
    m, g = Decimal(log_odds), Decimal(gamma)
    p, rest = 1 / (1 + (-m).exp()), 1 / (1 + m.exp())  # p and 1 - p
    modulator = (g * rest.ln()).exp()
    # d/dm of -rest^g ln p, by d p / d m = p rest
    return float(-modulator * p.ln()), float(modulator * (g * p * p.ln() - rest))


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize(
    ("kind", "slow"), [(SoftmaxFocalLoss, slow_softmax_focal), (SigmoidFocalLoss, slow_sigmoid_focal)]
)
def test_equals_the_formula(kind: Kind, slow, gamma: float) -> None:
    losses = slow(logits_of(), LABELS, gamma)
    assert kind(gamma=gamma).per_sample(logits_of(), LABELS).tolist() == pytest.approx(losses, rel=1e-12)
    assert float(kind(gamma=gamma)(logits_of(), LABELS)) == pytest.approx(sum(losses) / 6, rel=1e-12)


def test_softmax_form_without_focus_is_cross_entropy() -> None:
    value = SoftmaxFocalLoss(gamma=0.0)(logits_of(), LABELS)
    assert float(value) == pytest.approx(float(F.cross_entropy(logits_of(), LABELS)), rel=1e-14)


def test_sigmoid_form_without_focus_is_the_sum_of_binary_cross_entropies() -> None:
    targets = F.one_hot(LABELS, 4).double()
    expected = F.binary_cross_entropy_with_logits(logits_of(), targets, reduction="sum") / 6
    assert float(SigmoidFocalLoss(gamma=0.0)(logits_of(), LABELS)) == pytest.approx(float(expected), rel=1e-14)


def test_of_mixed_images_without_focus_the_shares_are_the_targets() -> None:
    """Binary cross-entropy is linear in its target; with focus the losses of both classes are what is mixed."""
    logits = logits_of()[:2]
    expected = F.binary_cross_entropy_with_logits(logits, SHARES, reduction="sum") / 2
    assert float(SigmoidFocalLoss(gamma=0.0)(logits, SHARES)) == pytest.approx(float(expected), rel=1e-14)
    first, second = (slow_sigmoid_focal(logits[:1], torch.tensor([label]), 2.0)[0] for label in (0, 3))
    third = slow_sigmoid_focal(logits[1:], torch.tensor([1]), 2.0)[0]
    assert float(SigmoidFocalLoss(gamma=2.0)(logits, SHARES)) == pytest.approx((0.3 * first + 0.7 * second + third) / 2)


def test_class_balanced_focal_loss_as_released() -> None:
    """All terms of an image have the weight of its class; the divisor is the number of images."""
    counts, beta, gamma = [500, 81, 16, 1], 0.9999, 1.0
    inverse = [1 / sum(beta**i for i in range(n)) for n in counts]
    weights = [value * 4 / sum(inverse) for value in inverse]
    losses = slow_sigmoid_focal(logits_of(), LABELS, gamma)
    expected = sum(weights[y] * loss for y, loss in zip(LABELS.tolist(), losses, strict=True)) / 6
    loss = SigmoidFocalLoss(gamma=gamma, class_weight="effective_number", normalize_by="batch")
    loss.class_distribution.set_counts(counts)
    assert float(loss(logits_of(), LABELS)) == pytest.approx(expected, rel=1e-9)


def test_weights_stand_outside_the_modulator() -> None:
    """The released code of LDAM has p^w in place of p; then a weight of 2 would not double the loss."""
    logits, label = logits_of()[:1], LABELS[:1]
    loss = SoftmaxFocalLoss(gamma=1.0, class_weight=[2.0, 1.0, 1.0, 1.0], normalize_by="batch")
    assert float(loss(logits, label)) == pytest.approx(2 * slow_softmax_focal(logits, label, 1.0)[0], rel=1e-12)


@pytest.mark.parametrize("gamma", [0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("log_odds", [-100.0, -20.0, -1.0, 0.0, 5.0, 17.0, 30.0])
@pytest.mark.parametrize("kind", [SoftmaxFocalLoss, SigmoidFocalLoss])
def test_float32_keeps_value_and_gradient_of_any_confidence(kind: Kind, log_odds: float, gamma: float) -> None:
    """From log-odds of 17 on p rounds to 1: a power below 1 of 1 - p has the gradient 0 times infinity there."""
    logits = torch.tensor([[log_odds, 0.0]], requires_grad=True)
    value = kind(gamma=gamma).per_sample(logits, torch.tensor([0])).sum()
    value.backward()
    gradient = logits.grad
    assert gradient is not None
    loss, slope = exact_focal(log_odds, gamma)
    of_other_class = exact_focal(0.0, gamma)[0] if kind is SigmoidFocalLoss else 0.0
    assert value.item() == pytest.approx(loss + of_other_class, rel=1e-5)
    assert float(gradient[0, 0]) == pytest.approx(slope, rel=1e-5)
    assert torch.isfinite(gradient).all()


def test_a_detached_modulator_is_a_weight() -> None:
    logits = logits_of().requires_grad_()
    losses = F.cross_entropy(logits, LABELS, reduction="none")
    expected = ((1 - torch.exp(-losses.detach())) ** 2 * losses).mean()
    value = SoftmaxFocalLoss(gamma=2.0, detach_modulator=True)(logits, LABELS)
    other = SoftmaxFocalLoss(gamma=2.0)(logits, LABELS)
    assert torch.equal(value, other)
    of_value, of_expected, of_other = (torch.autograd.grad(loss, logits)[0] for loss in (value, expected, other))
    torch.testing.assert_close(of_value, of_expected, rtol=1e-10, atol=1e-15)
    assert not torch.allclose(of_value, of_other)


def test_what_links_logits_and_probabilities() -> None:
    assert (SigmoidFocalLoss.link, SoftmaxFocalLoss.link, WeightedCrossEntropyLoss.link) == (
        "sigmoid",
        "softmax",
        "softmax",
    )


@pytest.mark.parametrize("kind", [SoftmaxFocalLoss, SigmoidFocalLoss])
def test_a_negative_exponent_is_refused(kind: Kind) -> None:
    with pytest.raises(UserInputError, match="gamma=-1 must be 0"):
        kind(gamma=-1)
