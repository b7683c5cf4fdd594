"""Class accuracy: draws the accuracy of each class over class size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lt_plugins.visualization.style import (
    MAX_LABELLED_BARS,
    MAX_NAMED_CLASSES,
    MAX_RUN_NAME,
    RUN_COLORS,
    RUN_MARKERS,
    class_ticks,
    class_width,
    clean,
    new_figure,
    shade_groups,
    shorten,
    size_bars,
)


def plot_class_accuracy(
    accuracy: Mapping[str, NDArray[np.float64]],
    train_counts: NDArray[np.int64],
    groups: NDArray[np.str_],
    names: Sequence[str],
) -> Figure:
    """Draw the accuracy of each class over the classes sorted by size, above the sizes themselves.

    More than 30 classes get a running mean (over a twentieth of them) through the points; up to 15 have their sizes
    written above the bars.

    Args:
        accuracy (Mapping[str, NDArray]): Per-class accuracy in percent of each run by its name, ``(C,)``; NaN for a
            class without test images.
        train_counts (NDArray): Training images of each class, ``(C,)``.
        groups (NDArray): ``'many'``, ``'medium'`` or ``'few'`` for each class, ``(C,)``.
        names (Sequence[str]): Class names, ``C`` of them.
    """
    order = np.argsort(-train_counts, kind="stable")
    num_classes = len(order)
    ranks = np.arange(num_classes)
    figure = new_figure(class_width(num_classes, 9), 5.5)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))

    few_points = num_classes <= MAX_NAMED_CLASSES
    for index, (name, values) in enumerate(accuracy.items()):
        run = shorten(name, MAX_RUN_NAME)
        color = RUN_COLORS[index % len(RUN_COLORS)]
        marker = RUN_MARKERS[index % len(RUN_MARKERS)]
        values = values[order]
        if few_points:
            upper.plot(ranks, values, color=color, marker=marker, markersize=6, label=run)
            continue
        size = float(np.clip(2000 / num_classes, 4, 20))
        upper.scatter(ranks, values, s=size, color=color, marker=marker, alpha=0.35, linewidths=0)
        upper.plot(
            ranks,
            _running_mean(values, max(5, num_classes // 20)),
            color=color,
            linewidth=2,
            label=run,
        )
    upper.set_ylim(-3, 103)
    upper.set_ylabel("accuracy on the class (%)")
    if len(accuracy) > 1 or not few_points:
        handles, labels = upper.get_legend_handles_labels()
        upper.legend(
            handles, labels if few_points else [f"{label} (running mean)" for label in labels], loc="lower left"
        )

    size_bars(lower, ranks, train_counts[order], color="0.45", labelled=num_classes <= MAX_LABELLED_BARS)
    lower.set_xlim(-0.5, num_classes - 0.5)
    class_ticks(lower, [names[index] for index in order])
    for axes in (upper, lower):
        clean(axes)
    shade_groups(upper, groups[order])
    return figure


def _running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Centred mean over the tested classes of a window, shorter at both ends; NaN where a window has none."""
    kernel = np.ones(window)
    tested = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.convolve(np.nan_to_num(values), kernel, "same") / np.convolve(tested, kernel, "same")
