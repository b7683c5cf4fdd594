"""TADE and BalPoE against their formulas in plain Python, what they become, and the prior that they answer for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import BalPoELoss, LogitAdjustmentLoss, TADELoss
from lt_plugins.models.losses.tade_loss import reversed_ranks
from lt_plugins.posthoc import prior_power
from tests import battery

COUNTS = [500, 81, 16, 1]
LABELS = torch.tensor([0, 3, 1, 2, 0, 0])


def with_counts(loss: Any, counts: Sequence[int] | Tensor = COUNTS) -> Any:
    loss.class_distribution.set_counts(counts)
    return loss


def logits_of(num_experts: int = 3) -> Tensor:
    return 2 * battery.noise(6, num_experts, 4).double()


def slow_cross_entropy(row: list[float], label: int) -> float:
    return math.log(math.fsum(math.exp(value) for value in row)) - row[label]


def slow(logits: Tensor, adjust: Any, average: bool) -> float:
    """Mean over the images of the sum, or mean, of the experts' losses; ``adjust(k, c)`` is added to a logit."""
    total = 0.0
    for rows, label in zip(logits.tolist(), LABELS.tolist(), strict=True):
        losses = [
            slow_cross_entropy([z + adjust(k, c) for c, z in enumerate(row)], label) for k, row in enumerate(rows)
        ]
        total += sum(losses) / (len(losses) if average else 1)
    return total / len(logits)


def prior(label: int, counts: Sequence[int] = COUNTS) -> float:
    return counts[label] / sum(counts)


@pytest.mark.parametrize("tau", [(0.0, 1.0, 2.0), (-1.0, 1.0, 3.0), (0.5, 1.25)])
def test_balpoe_equals_its_formula(tau: tuple[float, ...]) -> None:
    logits = logits_of(len(tau))
    expected = slow(logits, lambda k, c: tau[k] * math.log(prior(c)), average=True)
    assert float(with_counts(BalPoELoss(tau))(logits, LABELS)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("tau", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 0, 3, 1]])
def test_tade_equals_its_formula(tau: float, order: list[int]) -> None:
    """Classes need not come by size: the partner of a class is that of the opposite rank."""
    counts = [COUNTS[i] for i in order]
    by_size = sorted(range(4), key=lambda c: counts[c])
    partner = {c: by_size[3 - rank] for rank, c in enumerate(by_size)}

    def adjust(expert: int, label: int) -> float:
        log_prior, inverse = math.log(prior(label, counts)), math.log(prior(partner[label], counts))
        return [0.0, log_prior, log_prior - tau * inverse][expert]

    expected = slow(logits_of(), adjust, average=False)
    assert float(with_counts(TADELoss(tau), counts)(logits_of(), LABELS)) == pytest.approx(expected, rel=1e-12)


def test_strengths_are_spread_evenly_over_the_experts() -> None:
    assert BalPoELoss((0, 2), num_experts=7).tau == pytest.approx([0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2])
    assert BalPoELoss((-1, 1, 3), num_experts=3).tau == BalPoELoss((-1, 1, 3)).tau == (-1, 1, 3)


def test_one_expert_is_logit_adjustment() -> None:
    logits = logits_of(1)
    one, other = with_counts(BalPoELoss((1.5,))), with_counts(LogitAdjustmentLoss(tau=1.5))
    assert float(one(logits, LABELS)) == pytest.approx(float(other(logits[:, 0], LABELS)), rel=1e-14)


def test_equal_counts_leave_cross_entropy() -> None:
    """The mean over the experts for BalPoE, the sum for TADE: three times as much."""
    expected = slow(logits_of(), lambda k, c: 0.0, average=True)
    assert float(with_counts(BalPoELoss(), [7] * 4)(logits_of(), LABELS)) == pytest.approx(expected, rel=1e-12)
    assert float(with_counts(TADELoss(), [7] * 4)(logits_of(), LABELS)) == pytest.approx(3 * expected, rel=1e-12)


def test_ranks_are_reversed_by_value() -> None:
    assert reversed_ranks(torch.tensor([5.0, 9.0, 1.0, 7.0])).tolist() == [7, 1, 9, 5]


def test_classes_of_equal_size_are_adjusted_alike() -> None:
    """Whatever their order: each gets the mean over the ranks that they take together."""
    assert reversed_ranks(torch.tensor([6.0, 6.0, 1.0])).tolist() == [3.5, 3.5, 6]
    assert reversed_ranks(torch.tensor([2.0, 8.0, 2.0, 5.0, 2.0])).tolist() == [5, 2, 5, 2, 5]
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(1, 9, (60,), generator=generator)
    logits, labels = torch.randn(20, 3, 60, generator=generator).double(), torch.randint(60, (20,), generator=generator)
    expected = with_counts(TADELoss(), counts.tolist())(logits, labels)
    shuffled = torch.randperm(60, generator=generator)
    found = with_counts(TADELoss(), counts[shuffled].tolist())(logits[:, :, shuffled], shuffled.argsort()[labels])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss", [TADELoss(), BalPoELoss(), BalPoELoss((-1, 1, 3))])
def test_an_empty_class(loss: Any) -> None:
    """Out of the softmax of an expert for which it would be rarer than any, and finite for the others."""
    with_counts(loss, [500, 81, 16, 0])
    logits = logits_of().requires_grad_()
    value = loss(logits, LABELS.clamp(max=2))
    value.backward()
    assert torch.isfinite(value)
    gradient = logits.grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    assert (gradient[:, 0, 3] != 0).all()
    assert torch.equal(gradient[:, 1:, 3], torch.zeros(6, 2, dtype=torch.float64))


@pytest.mark.parametrize(
    ("loss", "power"),
    [
        (BalPoELoss(), 0.0),
        (BalPoELoss((0, 1.25, 2.5)), -0.25),
        (BalPoELoss((0, 0, 0)), 1.0),
        (TADELoss(tau=2), -1 / 3),
        (TADELoss(tau=0.5), 1 / 6),
    ],
)
def test_prior_that_the_mean_of_the_logits_answers_for(loss: Any, power: float) -> None:
    """With counts 8, 4, 2, 1 the reversed prior is the inverse one, and the mean of the logits that of the powers."""
    counts = torch.tensor([8, 4, 2, 1])
    found = with_counts(loss, counts).trained_prior(counts.double() / counts.sum())
    assert prior_power(found, counts) == pytest.approx(power, abs=1e-9)
    expected = counts.double() ** power
    torch.testing.assert_close(found / found.sum(), expected / expected.sum())


def test_the_best_logits_answer_for_the_trained_prior() -> None:
    """Experts at the minimum of their loss on data without features: softmax of the mean is the prior it claims."""
    counts = [50, 20, 7, 3]
    labels = torch.repeat_interleave(torch.arange(4), torch.tensor(counts))
    for loss in (TADELoss(), BalPoELoss()):
        with_counts(loss, counts)
        logits = torch.zeros(1, 3, 4, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

        def closure(loss: Any = loss, logits: Tensor = logits, optimizer: Any = optimizer) -> Tensor:
            optimizer.zero_grad()
            value = loss(logits.expand(len(labels), 3, 4), labels)
            value.backward()
            return value

        optimizer.step(closure)
        prior = loss.trained_prior(torch.tensor(counts, dtype=torch.float64) / sum(counts))
        found = logits.detach().mean(dim=1)[0].softmax(dim=0)
        torch.testing.assert_close(found, prior / prior.sum(), atol=1e-5, rtol=0)


def test_mistakes_are_refused() -> None:
    with pytest.raises(UserInputError, match="is for 3 experts and got the logits of 2"):
        with_counts(TADELoss())(logits_of(2), LABELS)
    with pytest.raises(UserInputError, match="tau=-1 must be 0 or more"):
        TADELoss(tau=-1)
    with pytest.raises(UserInputError, match=r"tau=\(\) must be a finite strength"):
        BalPoELoss(())
    with pytest.raises(UserInputError, match="num_experts=1 must be 2 or more"):
        BalPoELoss(num_experts=1)
    with pytest.raises(UserInputError, match="class counts are not known yet"):
        BalPoELoss()(logits_of(), LABELS)
