"""Trend of the accuracy of classes over the number of their training images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

MIN_CLASSES = 3


class SizeTrend(NamedTuple):
    """Means over bins of classes of similar size, and the line through all classes.

    Args:
        size (NDArray): Geometric mean of the training images of the classes of each bin, ``(B,)``.
        mean (NDArray): Mean accuracy of these classes in percent, ``(B,)``.
        low (NDArray): Lower end of its 95 % confidence interval (Student's t over classes), ``(B,)``; NaN for a bin
            with one class.
        high (NDArray): Upper end, ``(B,)``.
        slope (float): Percentage points for ten times as many training images, by least squares; NaN if all classes
            have as many.
        slope_error (float): Its standard error.
        rank_correlation (float): Spearman's, of size and accuracy; NaN if either is constant.
    """

    size: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    slope: float
    slope_error: float
    rank_correlation: float


def size_trend(train_counts: NDArray[np.int64], accuracy: NDArray[np.float64], num_bins: int = 8) -> SizeTrend | None:
    """Fit the trend. Bins hold equally many classes, but classes of one size stay together.

    Args:
        train_counts (NDArray): Training images of each class, ``(C,)``.
        accuracy (NDArray): Accuracy on each class in percent, ``(C,)``; NaN without test images.
        num_bins (int): Most bins; each has three classes or more where there are as many. Defaults to 8.

    Returns:
        SizeTrend | None: The trend over the tested classes with training images; None for fewer than three of them.
    """
    used = ~np.isnan(accuracy) & (train_counts > 0)
    size, values = train_counts[used].astype(np.float64), accuracy[used]
    if len(size) < MIN_CLASSES:
        return None
    order = np.argsort(size, kind="stable")
    size, values = size[order], values[order]
    bins = [(size[part], values[part]) for part in _bins(size, min(num_bins, len(size) // MIN_CLASSES))]
    mean = np.array([part.mean() for _, part in bins])
    margin = np.array([_margin(part) for _, part in bins])
    slope = slope_error = correlation = np.nan
    if size[0] < size[-1]:
        line = stats.linregress(np.log10(size), values)
        slope, slope_error = float(line.slope), float(line.stderr)
        correlation = float(stats.spearmanr(size, values).statistic) if np.ptp(values) > 0 else np.nan
    centre = np.array([np.exp(np.log(part).mean()) for part, _ in bins])
    return SizeTrend(centre, mean, mean - margin, mean + margin, slope, slope_error, correlation)


def _bins(size: NDArray[np.float64], num_bins: int) -> list[slice]:
    """Slices of sorted sizes; a boundary moves to the end of the classes of its size."""
    edges = [0]
    for index in range(1, num_bins):
        edge = int(np.searchsorted(size, size[index * len(size) // num_bins], side="left"))
        if edge - edges[-1] >= MIN_CLASSES and len(size) - edge >= MIN_CLASSES:
            edges.append(edge)
    return [slice(start, end) for start, end in zip(edges, [*edges[1:], len(size)], strict=True)]


def _margin(values: NDArray[np.float64]) -> float:
    if len(values) < 2:
        return np.nan
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
