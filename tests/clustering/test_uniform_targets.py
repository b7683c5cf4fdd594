"""Uniform targets: exact where geometry knows the answer, and no worse than the released optimisation where not."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.clustering import uniform_targets
from lt_plugins.clustering.uniform_targets import regular_simplex, spread_points
from lt_plugins.errors import UserInputError


def start(num: int, dim: int, seed: int = 1) -> Tensor:
    return torch.randn(num, dim, generator=torch.Generator().manual_seed(seed))


def cosines(points: Tensor) -> list[float]:
    """Of all pairs of points, in ascending order."""
    rows = points.double().tolist()
    return sorted(
        sum(a * b for a, b in zip(one, other, strict=True)) for i, one in enumerate(rows) for other in rows[:i]
    )


def released_loss(points: Tensor, temperature: float = 0.07) -> float:
    """METHODS 8.3: mean of the logarithms of sums that include the point itself, above that of the point alone."""
    rows = points.double().tolist()
    total = 0.0
    for i, one in enumerate(rows):
        dots = [sum(a * b for a, b in zip(one, other, strict=True)) for other in rows]
        total += math.log1p(sum(math.exp((dot - 1) / temperature) for j, dot in enumerate(dots) if j != i))
    return total / len(rows)


@pytest.mark.parametrize(("num", "dim"), [(2, 1), (2, 6), (3, 2), (4, 3), (5, 9), (10, 128)])
def test_a_simplex_is_exact(num: int, dim: int) -> None:
    points = regular_simplex(num, dim)
    assert points.shape == (num, dim)
    assert points.dtype == torch.float64
    assert cosines(points) == pytest.approx([-1 / (num - 1)] * (num * (num - 1) // 2), abs=1e-12)
    assert points.norm(dim=1).tolist() == pytest.approx([1.0] * num, abs=1e-12)
    assert float(points.sum(dim=0).abs().max()) < 1e-12
    torch.testing.assert_close(uniform_targets(num, dim), points.float(), rtol=0, atol=0)
    if dim > 1:
        assert (regular_simplex(num, dim, seed=1) - points).abs().max() > 0.1, "another seed turns it"


def test_the_optimum_of_as_many_points_is_the_simplex() -> None:
    """Found, not constructed."""
    for num, dim in ((3, 2), (5, 4)):
        found = spread_points(start(num, dim), num_steps=400)
        assert cosines(found) == pytest.approx([-1 / (num - 1)] * (num * (num - 1) // 2), abs=1e-4)


@pytest.mark.parametrize(
    ("num", "dim", "angles"),
    [
        (4, 2, [-1.0] * 2 + [0.0] * 4),  # a square
        (6, 3, [-1.0] * 3 + [0.0] * 12),  # an octahedron
        (12, 3, [-1.0] * 6 + [-(5**-0.5)] * 30 + [5**-0.5] * 30),  # an icosahedron
    ],
)
def test_more_points_reach_the_known_optimum(num: int, dim: int, angles: list[float]) -> None:
    assert cosines(uniform_targets(num, dim, seed=1, num_steps=500)) == pytest.approx(angles, abs=2e-3)


def test_more_uniform_than_a_long_optimisation_of_the_released_loss() -> None:
    num, dim = 30, 5
    rows = start(num, dim, seed=0).requires_grad_()
    optimizer = torch.optim.Adam([rows], lr=1e-3)
    for _ in range(500):
        unit = F.normalize(rows, dim=1)
        optimizer.zero_grad()
        (unit @ unit.T / 0.07).exp().sum(dim=1).log().mean().backward()
        optimizer.step()
    released = F.normalize(rows.detach(), dim=1)
    ours = uniform_targets(num, dim, num_steps=300)
    assert released_loss(ours) < released_loss(released) < released_loss(F.normalize(start(num, dim, seed=0), dim=1))
    assert cosines(ours)[-1] < cosines(released)[-1]


def test_a_seed_repeats_the_points_and_nothing_else_is_drawn() -> None:
    state = torch.get_rng_state()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):  # as within a step of a training
        first, again, other = (uniform_targets(7, 3, seed=seed, num_steps=20) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not first.requires_grad
    assert torch.equal(first, uniform_targets(7, 3, seed=3, num_steps=20))
    assert uniform_targets(1, 4).norm() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "bad", [{"num_targets": 0}, {"dim": 0}, {"temperature": 0.0}, {"num_steps": -1}], ids=lambda bad: next(iter(bad))
)
def test_refuses_numbers_without_meaning(bad: dict[str, Any]) -> None:
    with pytest.raises(UserInputError, match=r"num_targets=.* must be positive, num_steps=-?\d+ 0 or more"):
        uniform_targets(**{"num_targets": 5, "dim": 2, **bad})
    with pytest.raises(UserInputError, match=r"num_points=4 of a regular simplex must be 1 to dim \+ 1 = 3"):
        regular_simplex(4, 2)
