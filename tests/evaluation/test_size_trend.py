from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from lt_plugins.evaluation.size_trend import size_trend


def t_quantile(degrees: int) -> float:
    """97.5 % of Student's t, by integrating its density."""
    with mpmath.workdps(30):
        constant = mpmath.gamma((degrees + 1) / 2) / (mpmath.sqrt(degrees * mpmath.pi) * mpmath.gamma(degrees / 2))

        def density(x: mpmath.mpf) -> mpmath.mpf:
            return constant * (1 + x * x / degrees) ** (-mpmath.mpf(degrees + 1) / 2)

        return float(mpmath.findroot(lambda q: mpmath.quad(density, [0, q]) - mpmath.mpf("0.475"), 2.5))


def test_bins_follow_their_definition() -> None:
    rng = np.random.default_rng(0)
    counts, accuracy = rng.permutation(np.arange(1, 25) ** 2), rng.uniform(0, 100, 24)
    trend = size_trend(counts, accuracy, num_bins=4)
    assert trend is not None
    order = sorted(range(24), key=lambda c: counts[c])
    for index in range(4):
        members = order[6 * index : 6 * index + 6]
        sizes, values = [int(counts[c]) for c in members], [float(accuracy[c]) for c in members]
        mean = sum(values) / 6
        margin = t_quantile(5) * math.sqrt(sum((v - mean) ** 2 for v in values) / 5) / math.sqrt(6)
        assert trend.size[index] == pytest.approx(math.prod(sizes) ** (1 / 6))
        assert (trend.mean[index], trend.low[index], trend.high[index]) == pytest.approx(
            (mean, mean - margin, mean + margin)
        )
    x, y = np.log10(counts), accuracy
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    rest = y - y.mean() - slope * (x - x.mean())
    error = math.sqrt((rest**2).sum() / 22 / ((x - x.mean()) ** 2).sum())
    assert (trend.slope, trend.slope_error) == pytest.approx((slope, error))
    ranks = [[sorted(values).index(v) for v in values] for values in (counts.tolist(), accuracy.tolist())]
    distance = sum((a - b) ** 2 for a, b in zip(*ranks, strict=True))
    assert trend.rank_correlation == pytest.approx(1 - 6 * distance / (24 * (24**2 - 1)))


def test_classes_of_one_size_stay_together() -> None:
    counts = np.array([5] * 10 + [100] * 4)
    trend = size_trend(counts, np.where(counts == 5, 20.0, 80.0))
    assert trend is not None
    np.testing.assert_allclose(trend.size, [5, 100])
    np.testing.assert_allclose([trend.mean, trend.low, trend.high], [[20, 80]] * 3)
    assert trend.slope == pytest.approx(60 / math.log10(20))
    assert trend.rank_correlation == pytest.approx(1)


def test_what_has_no_trend() -> None:
    assert size_trend(np.array([1, 2, 3]), np.array([1.0, 2.0, np.nan])) is None
    assert size_trend(np.array([0, 2, 3]), np.array([1.0, 2.0, 3.0])) is None, "no training images: zero-shot"
    trend = size_trend(np.array([7] * 5), np.arange(5.0))
    assert trend is not None
    assert math.isnan(trend.slope) and math.isnan(trend.rank_correlation) and trend.mean.tolist() == [2.0]
    flat = size_trend(np.array([1, 10, 100]), np.array([0.0, 0.0, 0.0]))
    assert flat is not None
    assert (flat.slope, math.isnan(flat.rank_correlation)) == (0, True)
