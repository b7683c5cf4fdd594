from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from lt_plugins.evaluation.paired_tests import adjust_p, mcnemar, mcnemar_p, paired_differences


def exact_p(b: int, c: int) -> float:
    """Sum over all splits of ``b + c`` fair coins that are at least as uneven."""
    n = b + c
    uneven = [k for k in range(n + 1) if abs(2 * k - n) >= abs(b - c)]
    return float(Fraction(sum(math.comb(n, k) for k in uneven), 2**n))


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (3, 3), (10, 2), (0, 30), (400, 300), (5000, 5100)])
def test_mcnemar_against_the_sum_over_all_splits(b: int, c: int) -> None:
    first = np.array([True] * b + [False] * c + [True] * 5 + [False] * 4)
    second = np.array([False] * b + [True] * c + [True] * 5 + [False] * 4)
    result = mcnemar(first, second)
    assert (result.only_first, result.only_second) == (b, c)
    assert result.p_value == pytest.approx(exact_p(b, c), rel=1e-9)
    assert mcnemar(second, first).p_value == result.p_value
    np.testing.assert_allclose(mcnemar_p(np.array([b, c]), np.array([c, b])), result.p_value)


def test_false_discovery_rate() -> None:
    p = np.array([0.04, 0.001, 0.9, 0.03, 0.2])
    slow = [min(1.0, *(q * 5 / sum(r <= q for r in p) for q in p if q >= own)) for own in p]
    np.testing.assert_allclose(adjust_p(p), slow)
    assert adjust_p(np.array([])).shape == (0,)


def slow_bootstrap(label, first, second, groups, resamples: int, seed: int) -> dict[str, list[float]]:
    """Resample the images themselves, class by class."""
    rng = np.random.default_rng(seed)
    images = {c: np.flatnonzero(label == c) for c in np.unique(label)}
    draws: dict[str, list[float]] = {"overall": [], "balanced": [], **{name: [] for name in groups}}
    for _ in range(resamples):
        chosen = {c: rng.choice(own, len(own)) for c, own in images.items()}
        gains = {c: second[own].astype(float).mean() - first[own].mean() for c, own in chosen.items()}
        every = np.concatenate([*chosen.values()])
        draws["overall"].append(100 * (second[every].mean() - first[every].mean()))
        draws["balanced"].append(100 * np.mean([*gains.values()]))
        for name, mask in groups.items():
            draws[name].append(100 * np.mean([gains[c] for c in gains if mask[c]]))
    return draws


def test_bootstrap_against_resampled_images() -> None:
    rng = np.random.default_rng(3)
    sizes = [40, 10, 1, 25, 0, 7]
    label = np.repeat(np.arange(6), sizes)
    first, second = rng.random(83) < 0.5, rng.random(83) < 0.65
    second[label == 5], first[label == 5] = True, False  # a class that is won altogether
    groups = {"many": np.array([1, 1, 0, 0, 0, 0], bool), "few": np.array([0, 0, 1, 1, 1, 1], bool)}
    found = paired_differences(label, first, second, groups, num_resamples=20_000)
    slow = slow_bootstrap(label, first, second, groups, 4000, seed=1)
    assert found.keys() == slow.keys()
    for name, draws in slow.items():
        width = np.percentile(draws, 97.5) - np.percentile(draws, 2.5)
        assert found[name].low == pytest.approx(np.percentile(draws, 2.5), abs=0.08 * width + 0.2)
        assert found[name].high == pytest.approx(np.percentile(draws, 97.5), abs=0.08 * width + 0.2)
    assert found["overall"].value == pytest.approx(100 * (second.mean() - first.mean()))
    per_class = [100 * (second[label == c].mean() - first[label == c].mean()) for c in (0, 1, 2, 3, 5)]
    assert found["balanced"].value == pytest.approx(np.mean(per_class))
    assert found["few"].value == pytest.approx(np.mean(per_class[2:]))


def test_bootstrap_of_many_classes_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(500), 3)
    first, second = rng.random(1500) < 0.5, rng.random(1500) < 0.5
    whole = paired_differences(label, first, second, {}, 300)
    assert paired_differences(label, first, second, {}, 300) == whole, "seeded"
    monkeypatch.setattr("lt_plugins.evaluation.paired_tests._CHUNK", 700)
    chunked = paired_differences(label, first, second, {}, 300)
    # The standard deviation of the mean over classes is known: sum of the variances of the classes' means.
    gain = second.astype(float) - first
    expected = 100 * np.sqrt(sum(gain[label == c].var() / 3 for c in range(500))) / 500
    for result in (whole["balanced"], chunked["balanced"]):
        assert (result.high - result.low) / (2 * 1.96) == pytest.approx(expected, rel=0.15)


def test_the_same_predictions() -> None:
    hits = np.array([True, False, True])
    same = paired_differences(np.array([0, 0, 1]), hits, hits, {"few": np.array([False, False])})
    assert {*same.values()} == {(0.0, 0.0, 0.0)} and same.keys() == {"overall", "balanced"}
