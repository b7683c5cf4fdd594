from __future__ import annotations

import math

import numpy as np
import pytest

from lt_plugins.evaluation.confusions import class_errors, confused_pairs, worst_classes


def slow_pairs(label: list[int], predicted: list[int]) -> list[tuple[int, int, int, float]]:
    found = {}
    for pair in {(y, p) for y, p in zip(label, predicted, strict=True) if p >= 0 and p != y}:
        count = sum((y, p) == pair for y, p in zip(label, predicted, strict=True))
        found[pair] = (*pair, count, 100 * count / label.count(pair[0]))
    return sorted(found.values(), key=lambda row: (-row[2], -row[3], row[0], row[1]))


@pytest.mark.parametrize("num_classes", [2, 7, 40])
def test_pairs_and_errors_follow_their_definitions(num_classes: int) -> None:
    rng = np.random.default_rng(num_classes)
    label = rng.integers(num_classes - 1, size=120)  # the last class has no test images
    predicted = np.where(rng.random(120) < 0.4, label, rng.integers(-1, num_classes, 120))
    confidence = rng.random(120).astype(np.float32)
    assert confused_pairs(label, predicted, num_classes) == slow_pairs(label.tolist(), predicted.tolist())
    assert confused_pairs(label, predicted, num_classes, 3) == slow_pairs(label.tolist(), predicted.tolist())[:3]
    errors = class_errors(label, predicted, confidence, num_classes)
    for c in range(num_classes):
        own, taken = label == c, predicted == c
        precision = 100 * (own & taken).sum() / taken.sum() if taken.any() else math.nan
        np.testing.assert_allclose(errors.precision[c], precision)
        mean = 100 * confidence[own].mean(dtype=np.float64) if own.any() else math.nan
        np.testing.assert_allclose(errors.confidence[c], mean, rtol=1e-6)
        wrong = [p for p in predicted[own].tolist() if p not in (c, -1)]
        best = max(sorted(set(wrong)), key=wrong.count, default=-1)
        assert (errors.confused_with[c], errors.confused_count[c]) == (best, wrong.count(best))


def test_a_perfect_model_confuses_nothing() -> None:
    label = np.array([0, 1, 1])
    assert confused_pairs(label, label, 2) == []
    assert class_errors(label, label, np.ones(3), 2).confused_with.tolist() == [-1, -1]


def test_worst_classes() -> None:
    accuracy, counts = np.array([50.0, 0.0, np.nan, 0.0, 100.0]), np.array([2, 1, 0, 5, 3])
    assert worst_classes(accuracy, counts).tolist() == [1, 3, 0]
    assert worst_classes(accuracy, counts, np.array([9, 8, 7, 6, 5])).tolist() == [3, 1, 0]
    assert worst_classes(accuracy, counts, limit=1).tolist() == [1]
