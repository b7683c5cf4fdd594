"""RIDE against its formula in plain Python, and its reductions to LDAM-DRW."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import LDAMLoss, RIDELoss
from lt_plugins.models.losses.ride_loss import expert_diversity
from lt_plugins.models.structures import ClassPart
from tests.battery import noise
from tests.engine.test_no_waiting import noted_waits

COUNTS = [500, 81, 16, 2]
LABELS = torch.tensor([0, 3, 1, 2, 0, 0])


def build(counts: list[int] = COUNTS, **kwargs: Any) -> RIDELoss:
    loss = RIDELoss(**kwargs)
    loss.class_distribution.set_counts(counts)
    return loss


def logits_of(num_experts: int = 3, size: int = 6) -> Tensor:
    return 4 * noise(size, num_experts, len(COUNTS)).double()


def softmax(logits: list[float]) -> list[float]:
    total = sum(math.exp(z) for z in logits)
    return [math.exp(z) / total for z in logits]


def slow_ride(
    logits: Tensor, labels: Tensor, factor: float, spread: float, is_reweighted: bool, beta: float = 0.9999
) -> float:
    """METHODS 6.2, expert by expert and class by class; ``factor`` is the negative one of the released code."""
    classes = range(len(COUNTS))
    share = [n / sum(COUNTS) for n in COUNTS]
    temperatures, weights = [1.0 for _ in classes], [1.0 for _ in classes]
    if is_reweighted:
        raw = [spread * len(COUNTS) * share[c] + 1 - spread for c in classes]
        temperatures = [value / max(raw) for value in raw]
        weights = [(1 - beta) / (1 - beta ** COUNTS[c]) for c in classes]
    mean_temperature = sum(temperatures) / len(temperatures)
    margins = [0.5 * (min(COUNTS) / n) ** 0.25 for n in COUNTS]
    num_experts, total = logits.shape[1], 0.0
    for k in range(num_experts):
        ldam = mass = distance = 0.0
        for z, y in zip(logits.tolist(), labels.tolist(), strict=True):
            shifted = [z[k][c] - 30 * margins[c] * (c == y) for c in classes]
            ldam += weights[y] * -math.log(softmax(shifted)[y])
            mass += weights[y]
            mean = [sum(z[j][c] for j in range(num_experts)) / num_experts for c in classes]
            p_mean = softmax([mean[c] / temperatures[c] for c in classes])
            p_expert = softmax([z[k][c] / temperatures[c] for c in classes])
            distance += sum(a * math.log(a / b) for a, b in zip(p_mean, p_expert, strict=True))
        total += ldam / mass + factor * mean_temperature**2 * distance / len(labels)
    return total


@pytest.mark.parametrize("spread", [0.05, 0.5])
@pytest.mark.parametrize("factor", [-0.45, -0.2])
@pytest.mark.parametrize("epoch", [159, 160])
def test_is_the_formula(epoch: int, factor: float, spread: float) -> None:
    loss = build(
        diversity_weight=-factor, temperature_spread=spread, class_weight="effective_number", reweight_from=160
    )
    loss.set_epoch(epoch, 200)
    expected = slow_ride(logits_of(), LABELS, factor, spread, epoch >= 160)
    assert float(loss(logits_of(), LABELS)) == pytest.approx(expected, rel=1e-11)


def test_temperatures_of_cifar100_lt() -> None:
    """Rare classes are compared at lower temperatures, once class weights are in force."""
    counts = [int(500 * 0.01 ** (label / 99)) for label in range(100)]
    loss = build(counts, class_weight="effective_number", reweight_from=160, temperature_spread=0.05)
    assert torch.equal(loss.temperatures(), torch.ones(100, dtype=torch.float64))
    loss.set_epoch(160, 200)
    share = [n / sum(counts) for n in counts]
    raw = [0.05 * 100 * p + 0.95 for p in share]
    assert loss.temperatures().tolist() == pytest.approx([value / max(raw) for value in raw], rel=1e-12)
    assert build(counts, temperature_spread=0.05).temperatures().unique().tolist() == [1.0]
    assert build(counts, class_weight="inverse", temperature_spread=0.0).temperatures().unique().tolist() == [1.0]


@pytest.mark.parametrize("epoch", [0, 1])
def test_one_expert_is_ldam_drw(epoch: int) -> None:
    settings: dict[str, Any] = {"class_weight": "effective_number", "reweight_from": 1}
    ldam = LDAMLoss(**settings)
    ldam.class_distribution.set_counts(COUNTS)
    ride = build(diversity_weight=0.45, **settings)
    for loss in (ldam, ride):
        loss.set_epoch(epoch, 2)
    logits = logits_of(1)
    assert float(ride(logits, LABELS)) == pytest.approx(float(ldam(logits[:, 0], LABELS)), rel=1e-12)


@pytest.mark.parametrize("mixed", [False, True])
def test_without_diversity_it_is_the_sum_of_the_experts(mixed: bool) -> None:
    ldam = LDAMLoss(class_weight="inverse_sqrt")
    ldam.class_distribution.set_counts(COUNTS)
    one_hot = F.one_hot(LABELS, len(COUNTS)).double()
    labels = 0.3 * one_hot + 0.7 * one_hot.roll(1, dims=0) if mixed else LABELS
    expected = sum(float(ldam(logits_of()[:, k], labels)) for k in range(3))
    value = build(class_weight="inverse_sqrt", diversity_weight=0.0)(logits_of(), labels)
    assert float(value) == pytest.approx(expected, rel=1e-12)


def test_uniform_counts_have_one_temperature_and_no_weights() -> None:
    weighted = build([7] * 4, class_weight="effective_number", temperature_spread=0.5)
    assert torch.equal(weighted.temperatures(), torch.ones(4, dtype=torch.float64))
    plain = build([7] * 4)
    assert float(weighted(logits_of(), LABELS)) == pytest.approx(float(plain(logits_of(), LABELS)), rel=1e-12)


def test_the_diversity_of_mixed_images_counts_once() -> None:
    """It knows no labels, so the shares of an image's two classes add up to all of it."""
    one_hot = F.one_hot(LABELS, len(COUNTS)).double()
    labels = 0.3 * one_hot + 0.7 * one_hot.roll(1, dims=0)
    rewarded, without = (build(class_weight="inverse", diversity_weight=weight) for weight in (0.2, 0.0))
    difference = float(rewarded(logits_of(), labels)) - float(without(logits_of(), labels))
    distance = float(expert_diversity(logits_of(), rewarded.temperatures()).mean())
    assert difference == pytest.approx(-0.2 * distance, rel=1e-9)


def test_equal_experts_do_not_differ() -> None:
    equal = logits_of(1).expand(-1, 3, -1)
    assert float(expert_diversity(equal, torch.ones(4)).abs().max()) < 1e-12
    assert float(expert_diversity(logits_of(), torch.ones(4)).min()) > 0


def test_no_gradient_flows_through_the_mean() -> None:
    """The gradient of each expert is that of its distance to a constant."""
    logits = logits_of().requires_grad_()
    expert_diversity(logits, torch.ones(4)).sum().backward()
    expected = logits.detach().softmax(dim=2) - logits.detach().mean(dim=1, keepdim=True).softmax(dim=2)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, expected)


def test_the_part_of_classes_has_the_diversity_of_their_images() -> None:
    """As optimisers that treat classes apart (ImbSAM) ask for it."""
    shares = torch.tensor([1.0, 0.0, 0.0, 0.0])
    loss = build(diversity_weight=0.45)
    loss.class_part = ClassPart(shares)
    whole = loss(logits_of(), LABELS)
    chosen = LABELS == 0
    part = build(diversity_weight=0.45)(logits_of()[chosen], LABELS[chosen]) * chosen.double().mean()
    assert loss.class_part.whole is whole
    assert loss.class_part.part is not None
    assert float(loss.class_part.part) == pytest.approx(float(part), rel=1e-12)


def test_nothing_waits_for_the_device() -> None:
    """Neither before nor after class weights and temperatures are in force."""
    loss = build(class_weight="effective_number", reweight_from=1)
    for epoch in (0, 1):
        loss.set_epoch(epoch, 2)
        logits = logits_of().requires_grad_()
        with noted_waits() as names:
            loss(logits, LABELS).backward()
        assert not names


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"diversity_weight": -0.45}, "diversity_weight=-0.45 must be 0 or more"),
        ({"diversity_weight": float("nan")}, "diversity_weight=nan"),
        ({"temperature_spread": 1.0}, r"temperature_spread=1.0 must be in \[0, 1\)"),
    ],
)
def test_settings_without_meaning_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        RIDELoss(**bad)


def test_logits_of_one_classifier_are_refused() -> None:
    with pytest.raises(
        UserInputError, match=r"RIDELoss takes the logits of experts, shape \(B, K, C\), and got \(6, 4\)"
    ):
        build()(logits_of()[:, 0], LABELS)
