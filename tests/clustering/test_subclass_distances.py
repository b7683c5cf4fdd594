from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lt_plugins.clustering import subclass_distances, tail_sizes


def slow_distance(features: list[list[float]], image: int, members: list[int]) -> float:
    """D(z_i, S), term by term."""
    return sum(math.dist(features[image], features[other]) for other in members) / len(members)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, classes, subclasses and how many to draw; classes are shuffled, and one has no image."""
    labels = torch.tensor(draw(st.lists(st.sampled_from([0, 1, 3]), min_size=1, max_size=25)))
    part = torch.tensor(draw(st.lists(st.integers(0, 2), min_size=len(labels), max_size=len(labels))))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    features = torch.nn.functional.normalize(torch.randn(len(labels), 3, generator=generator), dim=1)
    return features, labels, 3 * labels + part, torch.tensor(draw(st.lists(st.integers(1, 9), min_size=4, max_size=4)))


@given(problems(), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_distances_are_those_of_the_formula(problem: tuple[Tensor, Tensor, Tensor, Tensor], seed: int) -> None:
    features, labels, subclass, num_drawn = problem
    found = subclass_distances(features, labels, subclass, num_drawn, seed)
    rows = features.double().tolist()
    samples = found.samples.tolist()
    assert len(set(samples)) == len(samples)
    others = found.without_self()
    for place, image in enumerate(samples):
        own_class = [other for other in samples if labels[other] == labels[image]]
        own_subclass = [other for other in range(len(labels)) if subclass[other] == subclass[image]]
        assert len(own_class) == min(int(num_drawn[labels[image]]), int((labels == labels[image]).sum()))
        for result, size, alone, members in (
            (found.to_class, found.class_size, others.to_class, own_class),
            (found.to_subclass, found.subclass_size, others.to_subclass, own_subclass),
        ):
            assert size[place] == len(members)
            assert float(result[place]) == pytest.approx(slow_distance(rows, image, members), abs=1e-6)
            rest = [other for other in members if other != image]
            if rest:
                assert float(alone[place]) == pytest.approx(slow_distance(rows, image, rest), abs=1e-5)
            else:
                assert math.isnan(float(alone[place])) and float(result[place]) == 0


def test_a_class_that_is_whole_is_as_far_as_its_only_subclass() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(12, 128, generator=generator)
    labels = torch.arange(12) % 2
    found = subclass_distances(features, labels, labels + 7, torch.tensor([6, 6]))
    assert torch.equal(found.to_class, found.to_subclass)
    assert found.samples.tolist() == [*range(0, 12, 2), *range(1, 12, 2)]


def test_the_draw_follows_the_seed() -> None:
    features, labels = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
    draws = [
        subclass_distances(features, labels, labels, torch.full((3,), 5), seed).samples.tolist() for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(
    ("counts", "few", "expected"),
    [
        ([500, 60, 19, 9, 5], [0, 0, 1, 1, 1], [9, 9, 19, 9, 5]),  # few-shot classes whole, the others their median
        ([500, 60, 19, 5, 0], [0, 0, 1, 1, 1], [5, 5, 19, 5, 0]),  # an empty class is no few-shot class
        ([500, 60, 0, 40], [0, 0, 0, 0], [40, 40, 0, 40]),  # none: the smallest class
        ([500, 1, 1], [0, 1, 1], [2, 1, 1]),  # a single image is no distance from itself
    ],
)
def test_as_many_as_a_few_shot_class(counts: list[int], few: list[int], expected: list[int]) -> None:
    assert tail_sizes(torch.tensor(counts), torch.tensor(few).bool()).tolist() == expected
