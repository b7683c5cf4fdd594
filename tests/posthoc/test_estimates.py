"""Temperature and test priors: recovered from synthetic data, and the properties that the papers prove."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.posthoc import bbse_prior, em_prior, fit_temperature, joint_confusion
from lt_plugins.posthoc import em as em_module

SOURCE = torch.tensor([0.6, 0.25, 0.1, 0.05], dtype=torch.float64)
TARGET = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
MEANS = 2 * torch.eye(4, dtype=torch.float64)


class Drawn(NamedTuple):
    logits: Tensor
    labels: Tensor


def draw(prior: Tensor, size: int, seed: int) -> Drawn:
    """Images of four Gaussian classes and the exact posterior's logits under ``SOURCE``."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(prior, size, replacement=True, generator=generator)
    points = MEANS[labels] + torch.randn(size, 4, generator=generator, dtype=torch.float64)
    logits = points @ MEANS.T - MEANS.square().sum(dim=1) / 2 + SOURCE.log()
    return Drawn(logits, labels)


TEST = draw(TARGET, 20_000, 0)
HELD_OUT = draw(torch.full((4,), 0.25, dtype=torch.float64), 20_000, 1)


def weighted_nll(drawn: Drawn, temperature: float, prior: Tensor | None) -> float:
    """By a loop in numpy."""
    logits, labels = drawn.logits.numpy() / temperature, drawn.labels.numpy()
    counts = np.bincount(labels)
    total = mass = 0.0
    for row, label in zip(logits, labels, strict=True):
        weight = 1.0 if prior is None else float(prior[label]) / counts[label]
        total += weight * (np.log(np.exp(row - row.max()).sum()) + row.max() - row[label])
        mass += weight
    return total / mass


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_temperature_of_the_source_is_recovered_from_a_balanced_set(true: float) -> None:
    found = fit_temperature(true * HELD_OUT.logits, HELD_OUT.labels, SOURCE)
    assert found == pytest.approx(true, rel=0.03)


def test_temperature_is_the_minimum() -> None:
    few = Drawn(HELD_OUT.logits[:300] * 2, HELD_OUT.labels[:300])
    for prior in (None, SOURCE):
        best = fit_temperature(*few, prior)
        loss = weighted_nll(few, best, prior)
        assert all(weighted_nll(few, best * factor, prior) > loss for factor in (0.95, 1.05))
    assert fit_temperature(*few) != pytest.approx(fit_temperature(*few, SOURCE), rel=0.01), "the prior matters"


def test_temperature_of_right_predictions_alone_stays_in_its_limits() -> None:
    logits = F.one_hot(torch.arange(4), 4).double()
    assert 0.01 <= fit_temperature(logits, torch.arange(4)) < 0.05, "below it the loss is 0 everywhere"
    with pytest.raises(UserInputError, match="N at least 1"):
        fit_temperature(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


def em_by_hand(logits: Tensor, alpha: float, steps: int) -> list[float]:
    """Plain Python, as the formula is written."""
    posterior = logits.softmax(dim=1).tolist()
    prior = SOURCE.tolist()
    for _ in range(steps):
        sums = [0.0] * 4
        for row in posterior:
            joint = [q / pi * p for q, pi, p in zip(prior, SOURCE.tolist(), row, strict=True)]
            sums = [total + value / sum(joint) for total, value in zip(sums, joint, strict=True)]
        prior = [(total + alpha - 1) / (len(posterior) + 4 * (alpha - 1)) for total in sums]
    return prior


@pytest.mark.parametrize("alpha", [1.0, 3.0])
def test_em_is_that_of_the_formula(alpha: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(em_module, "CHUNK_SIZE", 13)
    found = em_prior(TEST.logits[:50], SOURCE, alpha=alpha, max_steps=7)
    assert found.prior.tolist() == pytest.approx(em_by_hand(TEST.logits[:50], alpha, 7), abs=1e-12)


@pytest.mark.parametrize("alpha", [1.0, 5.0])
def test_em_recovers_the_prior_and_each_step_raises_the_likelihood(alpha: float) -> None:
    found = em_prior(TEST.logits, SOURCE, alpha=alpha)
    assert len(found.objectives) > 5
    assert all(after >= before - 1e-12 for before, after in zip(found.objectives, found.objectives[1:], strict=False))
    assert found.objectives[-1] > found.objectives[0]
    assert float((found.prior - TARGET).abs().max()) < 0.015
    assert float(found.prior.sum()) == pytest.approx(1.0)


def test_em_stays_where_nothing_has_changed() -> None:
    same = draw(SOURCE, 20_000, 2)
    assert float((em_prior(same.logits, SOURCE).prior - SOURCE).abs().max()) < 0.015


def test_em_overshoots_on_logits_that_are_too_sure() -> None:
    """Why the temperature comes first: over-confidence in the frequent classes passes for more of them."""
    same = draw(SOURCE, 5_000, 3)
    calibrated, sure = (em_prior(factor * same.logits, SOURCE).prior for factor in (1.0, 3.0))
    assert float((sure - SOURCE).abs().sum()) > 2 * float((calibrated - SOURCE).abs().sum())
    assert sure[0] > SOURCE[0]


def test_em_alpha_pulls_towards_equal_shares() -> None:
    few = TEST.logits[:20]
    spread = [float(em_prior(few, SOURCE, alpha=alpha).prior.std()) for alpha in (1.0, 3.0, 1000.0)]
    assert spread[0] > spread[1] > spread[2]
    assert spread[2] < 0.01


def test_em_refuses() -> None:
    with pytest.raises(UserInputError, match=r"alpha=0\.5 must be 1"):
        em_prior(TEST.logits, SOURCE, alpha=0.5)
    with pytest.raises(UserInputError, match=r"must be \(M, C\) for 3 classes"):
        em_prior(TEST.logits, [1.0, 1, 1])


@pytest.mark.parametrize("is_soft", [True, False])
def test_joint_confusion_is_a_table_of_frequencies(is_soft: bool) -> None:
    probabilities = HELD_OUT.logits[:200].softmax(dim=1)
    if not is_soft:
        probabilities = F.one_hot(probabilities.argmax(dim=1), 4).double()
    labels = HELD_OUT.labels[:200].tolist()
    expected = np.zeros((4, 4))
    for row, label in zip(probabilities.tolist(), labels, strict=True):
        expected[:, label] += float(SOURCE[label]) * np.array(row) / labels.count(label)
    found = joint_confusion(probabilities, HELD_OUT.labels[:200], SOURCE)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-14)
    assert float(found.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("is_soft", [True, False])
def test_bbse_recovers_the_prior(is_soft: bool) -> None:
    """The labelled set is balanced: the joint table is that of the source all the same."""
    held_out, test = (drawn.logits.softmax(dim=1) for drawn in (HELD_OUT, TEST))
    if not is_soft:
        held_out, test = (F.one_hot(rows.argmax(dim=1), 4).double() for rows in (held_out, test))
    confusion = joint_confusion(held_out, HELD_OUT.labels, SOURCE)
    found = bbse_prior(confusion, test.mean(dim=0), SOURCE, regularization=0.0)
    assert float((found.prior - TARGET).abs().max()) < 0.03
    solved = np.linalg.solve(confusion.numpy(), test.mean(dim=0).numpy())  # BBSE itself
    np.testing.assert_allclose(found.prior, solved * SOURCE.numpy() / (solved * SOURCE.numpy()).sum(), rtol=1e-6)
    assert found.condition == pytest.approx(np.linalg.cond(confusion.numpy()))


def test_bbse_regularization_is_ridge_regression() -> None:
    confusion = joint_confusion(HELD_OUT.logits.softmax(dim=1), HELD_OUT.labels, SOURCE)
    predicted, penalty = TEST.logits.softmax(dim=1).mean(dim=0), 1e-3
    matrix, ones = confusion.numpy(), np.ones(4)
    theta = np.linalg.solve(matrix.T @ matrix + penalty * np.eye(4), matrix.T @ (predicted.numpy() - matrix @ ones))
    expected = np.maximum(ones + theta, 0) * SOURCE.numpy()
    found = bbse_prior(confusion, predicted, SOURCE, penalty)
    np.testing.assert_allclose(found.prior, expected / expected.sum(), rtol=1e-9)
    far = bbse_prior(confusion, predicted, SOURCE, regularization=1e9)
    torch.testing.assert_close(far.prior, SOURCE, atol=1e-6, rtol=0), "so much of it believes in no change"


def test_bbse_of_a_class_that_is_never_predicted() -> None:
    """A row of zeros: the condition number says so, and the regularised estimate still is a distribution."""
    rows = F.one_hot(HELD_OUT.labels.clamp(max=2), 4).double()
    confusion = joint_confusion(rows, HELD_OUT.labels, SOURCE)
    found = bbse_prior(confusion, torch.tensor([0.5, 0.3, 0.2, 0.0]), SOURCE)
    assert found.condition > 1e12
    assert found.prior.isfinite().all()
    assert float(found.prior.sum()) == pytest.approx(1.0)


def test_bbse_refuses() -> None:
    confusion = joint_confusion(HELD_OUT.logits.softmax(dim=1), HELD_OUT.labels, SOURCE)
    with pytest.raises(UserInputError, match="regularization=-1 must be 0"):
        bbse_prior(confusion, SOURCE, SOURCE, regularization=-1)
    with pytest.raises(UserInputError, match="class 3 has no labelled held-out image"):
        joint_confusion(HELD_OUT.logits.softmax(dim=1), HELD_OUT.labels.clamp(max=2), SOURCE)
    with pytest.raises(UserInputError, match=r"must be \(N, C\) and \(N,\)"):
        joint_confusion(torch.zeros(3, 4), torch.zeros(2, dtype=torch.int64), SOURCE)


def test_math_is_in_float64() -> None:
    """A shift of 1e4, which swallows the differences in float32, changes nothing."""
    shifted = TEST.logits[:500] + 1e4
    plain = em_prior(TEST.logits[:500], SOURCE)
    torch.testing.assert_close(em_prior(shifted, SOURCE).prior, plain.prior, atol=1e-8, rtol=0)
    assert not math.isnan(plain.objectives[-1])
