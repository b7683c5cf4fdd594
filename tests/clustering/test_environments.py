"""Weights of environments against the formulas, by loops over classes and images."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_plugins.clustering import environment_weights
from lt_plugins.errors import UserInputError


def reference(
    confidence: list[float],
    labels: list[int],
    ratio: float,
    gamma_range: tuple[float, float] = (1, 10),
    unseen: str = "zero",
    balance_classes: bool = True,
) -> list[float]:
    """Class by class, image by image."""
    weights = [0.0] * len(labels)
    for c in set(labels):
        images = [i for i, label in enumerate(labels) if label == c]
        known = [i for i in images if confidence[i] >= 0]
        raw = dict.fromkeys(known, 1.0)
        if len(known) >= 5:
            low, high = min(confidence[i] for i in known), max(confidence[i] for i in known)
            q = {i: 1 - (confidence[i] - low) / (high - low + 1e-9) + 1e-5 for i in known}
            ascending = sorted(q.values())
            fifth = len(known) // 5
            most = len(known) * 4 // 5
            rho = (math.fsum(ascending[len(known) - fifth :]) / fifth) / (math.fsum(ascending[:most]) / most)
            gamma = min(max(math.log(ratio) / math.log(rho + 1e-5), gamma_range[0]), gamma_range[1])
            raw = {i: value**gamma for i, value in q.items()}
        if unseen == "mean":
            mean = math.fsum(raw.values()) / len(raw) if raw else 1.0
            raw |= {i: mean for i in images if i not in raw}
        for i, value in raw.items():
            weights[i] = value / math.fsum(raw.values()) * (1 if balance_classes else len(images))
    return weights


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1), st.booleans()), min_size=1, max_size=40),
    st.floats(1, 9),
    st.sampled_from([(1.0, 10.0), (2.0, 2.0), (0.5, 30.0)]),
    st.sampled_from(["zero", "mean"]),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_value(
    images: list[tuple[int, float, bool]],
    ratio: float,
    gamma_range: tuple[float, float],
    unseen: str,
    balance_classes: bool,
) -> None:
    labels = [3, *(label for label, _, _ in images)]
    confidence = [0.5, *(-1.0 if lost else value for _, value, lost in images)]
    options: dict[str, Any] = {"gamma_range": gamma_range, "unseen": unseen, "balance_classes": balance_classes}
    actual = environment_weights(torch.tensor(confidence, dtype=torch.float64), torch.tensor(labels), ratio, **options)
    assert actual.dtype == torch.float64
    assert actual.tolist() == pytest.approx(reference(confidence, labels, ratio, **options), rel=1e-9, abs=1e-15)


def skewed(num_images: int = 500) -> torch.Tensor:
    """Confidences of which most are high, as after some epochs."""
    return torch.rand(num_images, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 0.5


def test_the_ratio_is_how_much_more_often_doubted_images_come() -> None:
    confidence = skewed()
    order = confidence.argsort()
    achieved = []
    for ratio in (1.0, 2.0, 4.0, 8.0, 16.0):
        weights = environment_weights(confidence, torch.zeros(500, dtype=torch.int64), ratio)
        assert bool((weights[order].diff() <= 0).all())
        achieved.append(float(weights[order[:100]].mean() / weights[order[100:]].mean()))
    assert achieved == sorted(achieved)
    assert achieved[1:] == pytest.approx([2, 4, 8, 16], rel=0.6), "by a power of means, which is no mean of powers"


def test_each_class_is_drawn_equally_often_or_as_it_is() -> None:
    labels = torch.tensor([0] * 300 + [1] * 150 + [2] * 46 + [3] * 4)
    weights = environment_weights(skewed(), labels)
    torch.testing.assert_close(torch.bincount(labels, weights), torch.ones(4, dtype=torch.float64))
    weights = environment_weights(skewed(), labels, balance_classes=False)
    torch.testing.assert_close(torch.bincount(labels, weights), torch.tensor([300.0, 150, 46, 4], dtype=torch.float64))


def test_one_confidence_for_all_is_the_uniform_environment() -> None:
    """Whatever the ratio."""
    labels = torch.arange(60) % 3
    weights = environment_weights(torch.full((60,), 0.7), labels, 4.0)
    torch.testing.assert_close(weights, torch.full((60,), 1 / 20, dtype=torch.float64))


def test_small_classes_are_uniform() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1])
    confidence = torch.tensor([0.1, 0.2, 0.9, 0.3, 0.1, 0.2, 0.9, 0.3, 0.4])
    weights = environment_weights(confidence, labels)
    assert weights[:4].tolist() == [0.25] * 4
    assert len(set(weights[4:].tolist())) == 5


def test_images_that_were_not_drawn() -> None:
    labels = torch.tensor([0] * 8 + [1, 1])
    confidence = torch.tensor([0.1, 0.5, 0.6, 0.7, 0.9, 0.8, -1, -1, -1, -1])
    released = environment_weights(confidence, labels)
    assert released[6:].tolist() == [0, 0, 0, 0], "a class may be lost"
    kept = environment_weights(confidence, labels, unseen="mean")
    torch.testing.assert_close(kept[6:], torch.tensor([1 / 8, 1 / 8, 1 / 2, 1 / 2], dtype=torch.float64))
    torch.testing.assert_close(kept[:6], released[:6] * 6 / 8)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"confidence": torch.zeros(3)}, r"one shape \(N,\), got \(3,\) and \(2,\)"),
        ({"confidence": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64)}, r"one shape \(N,\), got \(0,\)"),
        ({"ratio": 0.5}, r"ratio=0\.5 of an environment must be 1 or more"),
        ({"gamma_range": (3.0, 2.0)}, r"gamma_range=\(3\.0, 2\.0\) must be two positive numbers, ascending"),
        ({"unseen": "keep"}, r"unseen='keep' must be one of \('zero', 'mean'\)"),
        ({"confidence": torch.full((2,), -1.0)}, r"no image has a confidence"),
    ],
)
def test_errors(changed: dict[str, Any], line: str) -> None:
    arguments = {"confidence": torch.tensor([0.1, 0.2]), "labels": torch.tensor([0, 0]), **changed}
    with pytest.raises(UserInputError, match=line):
        environment_weights(**arguments)
