"""Uniformity, class distances and angles of class means, against sums over pairs in plain Python."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from torch import Tensor

from lt_plugins.clustering import (
    class_directions,
    class_distances,
    least_uniformity,
    mean_angles,
    simplex_angle,
    sphere_geometry,
    uniformity,
)

NUM_CLASSES = 5
Vector = Sequence[float]


def unit(vector: Vector) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def angle(first: Vector, second: Vector) -> float:
    """In degrees."""
    cosine = sum(a * b for a, b in zip(unit(first), unit(second), strict=True))
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def simplex(num_classes: int) -> Tensor:
    """Corners of a regular simplex, seen from its centre."""
    corners = torch.eye(num_classes, dtype=torch.float64) - 1 / num_classes
    return corners / corners.norm(dim=1, keepdim=True)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Features of any length and their classes, of which some have one image, or none."""
    labels = torch.tensor(draw(st.lists(st.sampled_from([0, 1, 2, 4]), min_size=1, max_size=20)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    return torch.randn(len(labels), 3, generator=generator), labels


@pytest.fixture(params=[1 << 22, 7], ids=["whole", "in blocks"])
def block_values(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs at once, and a few rows at a time."""
    monkeypatch.setattr(sphere_geometry, "BLOCK_VALUES", request.param)


def each_problem(test: Callable[..., None]) -> Callable[..., None]:
    return given(problem=problems())(settings(max_examples=40, deadline=None)(test))


@pytest.mark.usefixtures("block_values")
class TestAgainstSums:
    @pytest.mark.parametrize("t", [2.0, 0.5])
    def test_uniformity(self, t: float) -> None:
        @each_problem
        def check(problem: tuple[Tensor, Tensor]) -> None:
            rows = [unit(row) for row in problem[0].double().tolist()]
            kernel = [math.exp(-t * math.dist(a, b) ** 2) for a, b in itertools.combinations(rows, 2)]
            expected = math.log(mean(kernel)) if kernel else math.nan
            assert float(uniformity(problem[0], t)) == pytest.approx(expected, abs=1e-12, nan_ok=True)

        check()

    def test_distances(self) -> None:
        @each_problem
        def check(problem: tuple[Tensor, Tensor]) -> None:
            rows, labels = [unit(row) for row in problem[0].double().tolist()], problem[1].tolist()
            within, between = class_distances(*problem, NUM_CLASSES)
            for label in range(NUM_CLASSES):
                own = [row for row, other in zip(rows, labels, strict=True) if other == label]
                rest = [row for row, other in zip(rows, labels, strict=True) if other != label]
                inner = [math.dist(a, b) for a, b in itertools.combinations(own, 2)]
                outer = [math.dist(a, b) for a, b in itertools.product(own, rest)]
                assert float(within[label]) == pytest.approx(mean(inner), abs=1e-7, nan_ok=True)
                assert float(between[label]) == pytest.approx(mean(outer), abs=1e-7, nan_ok=True)

        check()

    @pytest.mark.parametrize("num_blocks", [NUM_CLASSES, 2, 1])
    def test_angles(self, num_blocks: int) -> None:
        order = [3, 0, 4, 2, 1]

        @each_problem
        def check(problem: tuple[Tensor, Tensor]) -> None:
            directions = class_directions(*problem, NUM_CLASSES)
            found = mean_angles(directions, torch.tensor(order), num_blocks)
            present = [label for label in range(NUM_CLASSES) if label in problem[1].tolist()]
            rows, block = directions.tolist(), {c: rank * num_blocks // NUM_CLASSES for rank, c in enumerate(order)}
            for label in range(NUM_CLASSES):
                others = {c: angle(rows[label], rows[c]) for c in present if c != label} if label in present else {}
                nearest = min(others.values(), default=math.nan)
                assert float(found.average[label]) == pytest.approx(mean([*others.values()]), abs=1e-5, nan_ok=True)
                assert float(found.nearest[label]) == pytest.approx(nearest, abs=1e-5, nan_ok=True)
                place = int(found.nearest_class[label])
                assert others[place] == pytest.approx(nearest, abs=1e-5) if others else place == -1
            for first, second in itertools.product(range(num_blocks), repeat=2):
                pairs = [
                    angle(rows[a], rows[b])
                    for a, b in itertools.permutations(present, 2)
                    if (block[a], block[b]) == (first, second)
                ]
                cell = float(found.blocks[first, second])
                assert cell == pytest.approx(mean(pairs), abs=1e-5, nan_ok=True)

        check()


@pytest.mark.parametrize("centred", [False, True])
@each_problem
def test_directions(centred: bool, problem: tuple[Tensor, Tensor]) -> None:
    rows, labels = [unit(row) for row in problem[0].double().tolist()], problem[1].tolist()
    means = {}
    for label in set(labels):
        own = [row for row, other in zip(rows, labels, strict=True) if other == label]
        means[label] = [mean(column) for column in zip(*own, strict=True)]
    if centred:
        centre = [mean(column) for column in zip(*means.values(), strict=True)]
        means = {label: [a - b for a, b in zip(row, centre, strict=True)] for label, row in means.items()}
    directions = class_directions(*problem, NUM_CLASSES, centred)
    for label in range(NUM_CLASSES):
        if label not in means:
            assert directions[label].isnan().all()
        elif len(means) > 1 or not centred:
            assert directions[label].tolist() == pytest.approx(unit(means[label]), abs=1e-6)


@pytest.mark.parametrize("num_classes", [2, 3, 10, 60])
def test_a_regular_simplex(num_classes: int) -> None:
    """Classes that have collapsed to its corners have the angle, the distances and the uniformity of the formulas."""
    labels = torch.arange(num_classes).repeat_interleave(3)
    features = simplex(num_classes)[labels] * torch.linspace(0.1, 9, 3 * num_classes)[:, None]
    directions = class_directions(features, labels, num_classes)
    found = mean_angles(directions, torch.arange(num_classes), num_classes)
    ideal = torch.full((num_classes, num_classes), simplex_angle(num_classes), dtype=torch.float64)
    expected = ideal.masked_fill(torch.eye(num_classes, dtype=torch.bool), math.nan)
    torch.testing.assert_close(found.blocks, expected, equal_nan=True, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.nearest, ideal[0], rtol=0, atol=1e-5)
    within, between = class_distances(features, labels, num_classes)
    side = math.sqrt(2 * num_classes / (num_classes - 1))
    torch.testing.assert_close(within, torch.zeros_like(within), rtol=0, atol=1e-7)
    torch.testing.assert_close(between, torch.full_like(between, side), rtol=1e-12, atol=0)
    same = 2 / (3 * num_classes - 1)  # share of pairs of one class
    kernel = same + (1 - same) * math.exp(-2 * side**2)
    assert float(uniformity(features)) == pytest.approx(math.log(kernel), abs=1e-12)


def test_of_all_the_same() -> None:
    features = torch.ones(4, 3)
    assert float(uniformity(features)) == pytest.approx(0, abs=1e-12)
    assert math.isnan(float(uniformity(features[:1]))) and math.isnan(float(uniformity(features[:0])))


@pytest.mark.parametrize("dimension", [2, 3, 32, 2048])
@pytest.mark.parametrize("t", [2.0, 0.5])
def test_least_uniformity(dimension: int, t: float) -> None:
    """Integral over the angle to a fixed direction, whose density is sin^(D-2)."""

    def density(theta: float) -> float:
        return math.sin(theta) ** (dimension - 2)

    def kernel(theta: float) -> float:
        return density(theta) * math.exp(-t * (2 - 2 * math.cos(theta)))

    middle = math.pi / 2
    parts = [
        [quad(part, *ends, epsabs=0)[0] for ends in ((0, middle), (middle, math.pi))] for part in (kernel, density)
    ]
    assert least_uniformity(dimension, t) == pytest.approx(math.log(sum(parts[0]) / sum(parts[1])), abs=1e-8)


def test_even_features_reach_it() -> None:
    features = torch.randn(3000, 16, generator=torch.Generator().manual_seed(0))
    assert float(uniformity(features)) == pytest.approx(least_uniformity(16), abs=0.01)
    drawn_in = features + 0.5 * torch.ones(16)
    assert float(uniformity(drawn_in)) > least_uniformity(16) + 0.3


def test_simplex_angles() -> None:
    assert [round(simplex_angle(num_classes), 2) for num_classes in (2, 3, 4, 100)] == [180, 120, 109.47, 90.58]
    assert np.isclose(simplex_angle(10**9), 90)
