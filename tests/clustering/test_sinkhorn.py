"""Sinkhorn-Knopp: against scaling the exponentials row by row, and what it is for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lt_plugins.clustering import sinkhorn_assignment
from lt_plugins.errors import UserInputError


def scores_of(num_samples: int, num_prototypes: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_samples, num_prototypes, generator=generator, dtype=torch.float64) * 2 - 1


def slow(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """The transport matrix of the paper, prototypes by samples, entry by entry."""
    num_samples, num_prototypes = scores.shape
    mass = [[math.exp(scores[b, k] / epsilon) for b in range(num_samples)] for k in range(num_prototypes)]
    for _ in range(iterations):
        for k in range(num_prototypes):
            total = sum(mass[k])
            mass[k] = [value / total / num_prototypes for value in mass[k]]
        for b in range(num_samples):
            total = sum(mass[k][b] for k in range(num_prototypes))
            for k in range(num_prototypes):
                mass[k][b] /= total * num_samples
    return torch.tensor(mass, dtype=torch.float64).t() * num_samples


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.05, 3), (0.5, 1), (1.0, 7)])
def test_against_exponentials(epsilon: float, iterations: int) -> None:
    scores = scores_of(9, 4)
    expected = slow(scores, epsilon, iterations)
    torch.testing.assert_close(sinkhorn_assignment(scores, epsilon, iterations), expected, rtol=1e-10, atol=1e-12)


def test_many_iterations_share_samples_equally() -> None:
    shares = sinkhorn_assignment(scores_of(12, 5), 0.2, 500)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(shares.sum(dim=0), torch.full((5,), 12 / 5, dtype=torch.float64))


def test_samples_that_do_not_count_change_nothing() -> None:
    scores, others = scores_of(6, 4), scores_of(5, 4, seed=1)
    counted = torch.tensor([False] * 5 + [True] * 6)
    found = sinkhorn_assignment(torch.cat([others, scores]), counted=counted)
    torch.testing.assert_close(found[5:], sinkhorn_assignment(scores))
    torch.testing.assert_close(found[:5].sum(dim=1), torch.ones(5, dtype=torch.float64))


def test_extreme_scores_in_float32() -> None:
    """Where the exponentials are 0 or infinite: e^200 is more than float32 holds, and a prototype is far from all."""
    scores = torch.tensor([[10.0, -10.0, -90.0], [9.0, -9.0, -90.0]])
    shares = sinkhorn_assignment(scores, 0.05, 3)
    assert shares.isfinite().all()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2))
    expected = sinkhorn_assignment(scores.double(), 0.05, 3)
    torch.testing.assert_close(shares.double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("settings", "message"), [((0.0, 3), "epsilon=0"), ((0.05, 0), "iterations=0")])
def test_errors(settings: tuple[float, int], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        sinkhorn_assignment(scores_of(3, 2), *settings)
