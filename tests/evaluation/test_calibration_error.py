from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.registry import METRICS

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.calibration_error import CalibrationError
from lt_plugins.evaluation.functional import expected_calibration_error, reliability_bins

from .samples import feed, make_scores, reference_ece

unit = st.one_of(st.floats(0, 1), st.integers(0, 15).map(lambda m: m / 15))  # edges of bins too


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(unit, st.booleans()), min_size=1, max_size=40), st.integers(1, 20))
def test_equals_the_loop(pairs: list[tuple[float, bool]], num_bins: int) -> None:
    confidence, correct = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    error = expected_calibration_error(confidence, correct, num_bins)
    assert 0 <= error <= 100
    inner = [m / num_bins for m in range(1, num_bins)]
    if not any(0 < abs(c - edge) < 1e-9 for c in confidence for edge in inner):  # else rounding decides the bin
        assert error == pytest.approx(reference_ece(confidence, correct, num_bins), abs=1e-9)
    bins = reliability_bins(confidence, correct, num_bins)
    assert bins.count.sum() == len(pairs)
    assert np.array_equal(np.isnan(bins.accuracy), bins.count == 0)
    # By the triangle inequality the error is at least the gap of the whole.
    assert error >= 100 * abs(np.mean(correct) - np.mean(confidence)) - 1e-9


def test_known_values() -> None:
    # 100 predictions of confidence 0.8, 80 of them right: calibrated; all right: 20 off.
    assert expected_calibration_error([0.8] * 100, [True] * 80 + [False] * 20) == pytest.approx(0, abs=1e-9)
    assert expected_calibration_error([0.8] * 100, [True] * 100) == pytest.approx(20)
    assert expected_calibration_error([1.0, 1.0], [False, False]) == 100
    assert expected_calibration_error([0.5, 1.0], [True, False], 2) == pytest.approx(75)
    assert reliability_bins([0.0, 0.5, 0.5001, 1.0], [True] * 4, 2).count.tolist() == [2, 2]


def test_metric() -> None:
    scores, label = make_scores(100, 5)
    metric = METRICS.build({"type": "CalibrationError", "num_bins": 10})
    feed(metric, scores, label, range(100))
    confidence, predicted = scores.max(1)
    expected = reference_ece(confidence.tolist(), (predicted == label).tolist(), 10)
    assert metric.evaluate(100) == {"calibration/ece": pytest.approx(expected)}


@pytest.mark.parametrize(
    ("confidence", "correct", "num_bins", "message"),
    [
        ([0.5], [True], 0, "num_bins=0"),
        ([], [], 15, "not none"),
        ([0.5, 0.5], [True], 15, "as many"),
        ([3.2], [True], 15, "not probabilities"),
        ([-0.1], [True], 15, "not probabilities"),
        ([float("nan")], [True], 15, "not probabilities"),
        ([float("inf")], [True], 15, "not probabilities"),
        ([0.5], [float("nan")], 15, "true or false"),
    ],
)
def test_refuses(confidence: list[float], correct: list[bool], num_bins: int, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        reliability_bins(confidence, correct, num_bins)


def test_metric_refuses_bins_at_once() -> None:
    with pytest.raises(UserInputError, match="num_bins=0"):
        CalibrationError(num_bins=0)
