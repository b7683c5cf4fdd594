"""Reliability diagram: draws accuracy against confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lt_plugins.visualization.style import GROUP_COLORS, RUN_COLORS, clean, new_figure


def plot_reliability_diagram(
    count: NDArray[np.int64], accuracy: NDArray[np.float64], confidence: NDArray[np.float64], error: float
) -> Figure:
    """Draw accuracy against confidence over equal-width bins, above the share of predictions in each bin.

    Args:
        count (NDArray): Predictions in each bin, ``(M,)``.
        accuracy (NDArray): Share of right ones, ``(M,)`` in [0, 1]; NaN for an empty bin.
        confidence (NDArray): Mean confidence, ``(M,)`` in [0, 1]; NaN for an empty bin.
        error (float): Expected calibration error in percent, named in the figure.
    """
    num_bins = len(count)
    width = 100 / num_bins
    left = width * np.arange(num_bins)
    filled = count > 0
    figure = new_figure(5.5, 6.5)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    common = {"width": width, "align": "edge", "edgecolor": "white", "linewidth": 0.8}
    hits, expected = 100 * accuracy[filled], 100 * confidence[filled]
    upper.bar(left[filled], hits, color=RUN_COLORS[0], label="accuracy", **common)
    upper.bar(
        left[filled],
        expected - hits,
        bottom=hits,
        color="none",
        width=width,
        align="edge",
        edgecolor=RUN_COLORS[1],
        hatch="///",
        linewidth=0.8,
        label="gap to the mean confidence",
    )
    upper.plot([0, 100], [0, 100], color="0.3", linestyle="--", linewidth=1, label="perfect calibration")
    upper.set_ylim(0, 100)
    upper.set_ylabel("accuracy in the bin (%)")
    upper.set_title(f"ECE {error:.2f} % ({num_bins} bins)", fontsize=11)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False, columnspacing=1.2)
    lower.bar(left, 100 * count / count.sum(), color="0.45", **common)
    lower.set_ylabel("predictions (%)")
    lower.set_xlabel("confidence (%)")
    lower.set_xlim(0, 100)
    for axes in (upper, lower):
        clean(axes)
    return figure


def plot_group_reliability(bins: Mapping[str, Sequence[NDArray]], errors: Mapping[str, float]) -> Figure:
    """Draw accuracy against confidence of the test images of each group of classes, side by side.

    The area of a point is the share of the group's predictions in its bin.

    Args:
        bins (Mapping[str, Sequence[NDArray]]): Count, accuracy and mean confidence of each bin, the last two in [0, 1],
            each ``(M,)``, by the group.
        errors (Mapping[str, float]): Expected calibration error in percent by the group.
    """
    figure = new_figure(3.2 * len(bins), 3.6)
    for axes, (group, (count, accuracy, confidence)) in zip(
        np.atleast_1d(figure.subplots(1, len(bins), sharex=True, sharey=True)), bins.items(), strict=True
    ):
        filled = count > 0
        axes.plot([0, 100], [0, 100], color="0.3", linestyle="--", linewidth=1)
        color = GROUP_COLORS.get(group, RUN_COLORS[-1])
        axes.plot(100 * confidence[filled], 100 * accuracy[filled], color=color, linewidth=1)
        area = 20 + 400 * count[filled] / count.sum()
        axes.scatter(100 * confidence[filled], 100 * accuracy[filled], s=area, color=color, alpha=0.6, linewidths=0)
        axes.set_title(f"{group}: ECE {errors[group]:.1f} %", fontsize=10)
        axes.set_xlim(0, 100)
        axes.set_ylim(-3, 103)
        axes.set_xlabel("confidence (%)")
        axes.grid(color="0.88", linewidth=0.8)
    figure.axes[0].set_ylabel("accuracy (%)")
    return figure
