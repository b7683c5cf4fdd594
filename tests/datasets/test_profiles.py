from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lt_plugins.datasets.profiles import class_profile
from lt_plugins.errors import UserInputError


@pytest.mark.parametrize(
    ("num_classes", "max_count", "factor", "total", "groups"),
    [
        (100, 500, 100, 10847, (35, 35, 30)),
        (100, 500, 50, 12608, (41, 41, 18)),
        (100, 500, 10, 19573, (69, 31, 0)),
        (10, 5000, 100, 12406, (8, 2, 0)),
        (10, 5000, 50, 13996, (9, 1, 0)),
        (10, 5000, 10, 20431, (10, 0, 0)),
    ],
)
def test_cifar_lt_has_the_published_sizes(
    num_classes: int, max_count: int, factor: int, total: int, groups: tuple[int, int, int]
) -> None:
    counts = class_profile(num_classes, max_count, factor)
    # as released: a list of int(max * mu ** (k / (C - 1))) with mu written as 0.01, 0.02, 0.1
    mu = {100: 0.01, 50: 0.02, 10: 0.1}[factor]
    assert counts.tolist() == [int(max_count * (mu ** (k / (num_classes - 1.0)))) for k in range(num_classes)]
    assert counts.sum() == total
    assert ((counts > 100).sum(), ((counts >= 20) & (counts <= 100)).sum(), (counts < 20).sum()) == groups


def test_step_has_two_levels() -> None:
    assert class_profile(10, 5000, 100, "step").tolist() == [5000] * 5 + [50] * 5
    assert class_profile(5, 90, 4, "step").tolist() == [90, 90, 22, 22, 22]


def test_pareto_is_near_imagenet_lt() -> None:
    counts = class_profile(1000, 1280, 256, "pareto")
    assert (counts[0], counts[-1]) == (1280, 5)
    assert counts.sum() == pytest.approx(115846, rel=0.06)
    assert (counts > 100).sum() == pytest.approx(385, abs=25)
    assert (counts < 20).sum() == pytest.approx(136, abs=10)


@given(
    profile=st.sampled_from(["exp", "step", "pareto"]),
    num_classes=st.integers(1, 300),
    max_count=st.integers(1, 10_000),
    factor=st.floats(1, 1000),
)
def test_falls_from_largest_to_smallest(profile: str, num_classes: int, max_count: int, factor: float) -> None:
    counts = class_profile(num_classes, max_count, factor, profile)  # type: ignore[arg-type]
    assert counts.shape == (num_classes,)
    assert counts.dtype == np.int64
    assert (np.diff(counts) <= 0).all()
    assert counts.min() >= 0
    reverse = class_profile(num_classes, max_count, factor, profile, reverse=True)  # type: ignore[arg-type]
    assert reverse.tolist() == counts.tolist()[::-1]
    if num_classes > 1:
        assert counts[0] == max_count
        assert counts[-1] == int(max_count * (1 / factor))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"imbalance_factor": 0.01}, "imbalance_factor=0.01 must be at least 1"),
        ({"imbalance_factor": 10, "max_count": 0}, "max_count=0 must be at least 1"),
        ({"imbalance_factor": 10, "profile": "linear"}, "unknown profile 'linear'; choose one of exp, step, pareto"),
        ({"imbalance_factor": 10, "profile": "pareto", "pareto_alpha": 0}, "pareto_alpha=0 must be positive"),
    ],
)
def test_refuses_what_makes_no_sense(arguments: dict, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        class_profile(**{"num_classes": 10, "max_count": 100, **arguments})
