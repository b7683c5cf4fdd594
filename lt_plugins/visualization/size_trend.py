"""Size trend: draws the accuracy of classes over the number of their training images, with a trend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lt_plugins.visualization.style import MAX_RUN_NAME, RUN_COLORS, RUN_MARKERS, clean, new_figure, run_legend, shorten


def plot_size_trend(
    accuracy: Mapping[str, NDArray[np.float64]],
    train_counts: NDArray[np.int64],
    trends: Mapping[str, Sequence[NDArray[np.float64]]],
) -> Figure:
    """Draw the accuracy of each class over its size on a logarithmic axis, and means of bins with their intervals.

    Args:
        accuracy (Mapping[str, NDArray]): Per-class accuracy in percent of each run by its name, ``(C,)``; NaN for a
            class without test images.
        train_counts (NDArray): Training images of each class, ``(C,)``; classes without any are left out.
        trends (Mapping[str, Sequence[NDArray]]): Size, mean, lower and upper end of each bin, each ``(B,)``, by the
            run; a run without a trend is only points.
    """
    figure = new_figure(8, 4.5 + 0.2 * len(accuracy))
    axes = figure.subplots()
    known = train_counts > 0
    size = float(np.clip(2000 / max(known.sum(), 1), 4, 24))
    for index, (run, values) in enumerate(accuracy.items()):
        name = shorten(run, MAX_RUN_NAME)
        color, marker = RUN_COLORS[index % len(RUN_COLORS)], RUN_MARKERS[index % len(RUN_MARKERS)]
        known_trend = run in trends
        axes.scatter(
            train_counts[known],
            values[known],
            s=size,
            color=color,
            marker=marker,
            alpha=0.3,
            linewidths=0,
            label=None if known_trend else name,
        )
        if known_trend:
            at, mean, low, high = trends[run]
            axes.plot(at, mean, color=color, marker=marker, markersize=6, linewidth=2, label=name)
            certain = ~np.isnan(low)
            axes.fill_between(at[certain], low[certain], high[certain], color=color, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set_ylim(-3, 103)
    axes.set_xlabel("training images of the class")
    axes.set_ylabel("accuracy on the class (%)")
    clean(axes)
    if len(accuracy) > 1:
        run_legend(figure)
    return figure
