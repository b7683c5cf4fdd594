"""Class differences: draws what each class gains or loses from one run to another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lt_plugins.visualization.style import RUN_COLORS, class_ticks, class_width, clean, new_figure, shade_groups


def plot_class_differences(
    difference: NDArray[np.float64],
    train_counts: NDArray[np.int64],
    groups: NDArray[np.str_],
    names: Sequence[str],
) -> Figure:
    """Draw the difference of the accuracy on each class, classes sorted by size; gains are blue, losses red.

    Args:
        difference (NDArray): Second run minus first, in percentage points, ``(C,)``; NaN for a class without test
            images.
        train_counts (NDArray): Training images of each class, ``(C,)``.
        groups (NDArray): ``'many'``, ``'medium'`` or ``'few'`` for each class, ``(C,)``.
        names (Sequence[str]): Class names, ``C`` of them.
    """
    order = np.argsort(-train_counts, kind="stable")
    heights = np.nan_to_num(difference[order])
    figure = new_figure(class_width(len(order), 9), 4)
    axes = figure.subplots()
    for color, part in ((RUN_COLORS[0], np.maximum(heights, 0)), (RUN_COLORS[1], np.minimum(heights, 0))):
        axes.stairs(part, np.arange(len(order) + 1) - 0.5, fill=True, color=color)
    axes.axhline(0, color="0.3", linewidth=0.8)
    axes.set_xlim(-0.5, len(order) - 0.5)
    axes.set_ylabel("difference (percentage points)")
    class_ticks(axes, [names[index] for index in order])
    clean(axes)
    shade_groups(axes, groups[order])
    return figure
