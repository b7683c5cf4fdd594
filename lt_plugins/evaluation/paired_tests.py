"""Paired comparison of two classifiers on the same test images: McNemar's test and the bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

_CHUNK = 2**22  # numbers that are drawn at once


class McNemar(NamedTuple):
    """Outcome of McNemar's test.

    Args:
        only_first (int): Images that the first classifier alone gets right.
        only_second (int): Images that the second alone gets right.
        p_value (float): Exact two-sided probability of a split at least as uneven, if both are equally good.
    """

    only_first: int
    only_second: int
    p_value: float


class Difference(NamedTuple):
    """Difference of two accuracies, second minus first, in percentage points.

    Args:
        value (float): The difference.
        low (float): Lower end of the 95 % bootstrap interval over test images.
        high (float): Upper end.
    """

    value: float
    low: float
    high: float


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Exact McNemar test of the hits of two classifiers.

    McNemar, "Note on the sampling error of the difference between correlated proportions or percentages"
    (Psychometrika 1947), in its exact binomial form.

    Args:
        first (NDArray): Whether the first classifier is right on each image, ``(N,)``.
        second (NDArray): Whether the second is, ``(N,)``.
    """
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    return McNemar(only_first, only_second, float(mcnemar_p(np.array(only_first), np.array(only_second))))


def mcnemar_p(only_first: NDArray[np.int64], only_second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Two-sided p-values ``min(1, 2 P(X <= min(b, c)))`` with ``X`` binomial of ``b + c`` trials at a half.

    Args:
        only_first (NDArray): ``b``, of any shape.
        only_second (NDArray): ``c``, of the same.
    """
    fewer = np.minimum(only_first, only_second).astype(np.float64)
    return np.minimum(1.0, 2 * bdtr(fewer, only_first + only_second, 0.5))


def adjust_p(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust the p-values of several tests for the false discovery rate.

    Benjamini and Hochberg, "Controlling the false discovery rate" (JRSS B 1995).

    Args:
        p_values (NDArray): Of ``M`` tests, ``(M,)``.
    """
    order = np.argsort(p_values)
    scaled = p_values[order] * len(p_values) / np.arange(1, len(p_values) + 1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


def paired_differences(
    label: NDArray[np.int64],
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    groups: Mapping[str, NDArray[np.bool_]],
    num_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Differences of accuracies with paired bootstrap intervals; test images are resampled within their class.

    A resample of ``n`` images of a class is, as far as the difference goes, a draw of how many the first alone and the
    second alone gets right; these multinomial numbers are drawn directly.

    Args:
        label (NDArray): True classes, ``(N,)``.
        first (NDArray): Whether the first classifier is right on each image, ``(N,)``.
        second (NDArray): Whether the second is, ``(N,)``.
        groups (Mapping[str, NDArray]): Masks ``(C,)`` of groups of classes by name.
        num_resamples (int): Defaults to 2000.
        seed (int): Defaults to 0.

    Returns:
        dict[str, Difference]: ``"overall"`` over all images, ``"balanced"`` the mean over classes, and that over the
        classes of each group with test images.
    """
    num_classes = len(next(iter(groups.values()))) if groups else int(label.max()) + 1
    sizes = np.bincount(label, minlength=num_classes)
    lost = np.bincount(label[first & ~second], minlength=num_classes)
    won = np.bincount(label[~first & second], minlength=num_classes)
    tested = sizes > 0
    weights = {"overall": sizes / sizes.sum(), "balanced": tested / tested.sum()}
    weights |= {name: mask & tested for name, mask in groups.items() if (mask & tested).any()}
    per_class = np.stack([weight / weight.sum() for weight in weights.values()])[:, tested]  # (W, T)
    sizes, lost, won = sizes[tested], lost[tested], won[tested]
    value = 100 * per_class @ ((won - lost) / sizes)

    rng = np.random.default_rng(seed)
    draws = np.empty((len(weights), num_resamples))
    step = max(1, _CHUNK // len(sizes))
    for start in range(0, num_resamples, step):
        shape = (min(step, num_resamples - start), len(sizes))
        num_won = rng.binomial(sizes, won / sizes, shape)
        # Of the other images as many are lost as are lost among those that are not won.
        odds = np.divide(lost, sizes - won, out=np.zeros(len(sizes)), where=won < sizes)
        num_lost = rng.binomial(sizes - num_won, odds)
        draws[:, start : start + shape[0]] = 100 * per_class @ ((num_won - num_lost) / sizes).T
    low, high = np.percentile(draws, [2.5, 97.5], axis=1)
    return {
        name: Difference(float(value[index]), float(low[index]), float(high[index]))
        for index, name in enumerate(weights)
    }
