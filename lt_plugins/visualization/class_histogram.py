"""Class histogram: draws the training images of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lt_plugins.visualization.style import (
    GROUP_COLORS,
    MAX_LABELLED_BARS,
    class_ticks,
    class_width,
    clean,
    new_figure,
    size_bars,
)


def plot_class_histogram(train_counts: NDArray[np.int64], groups: NDArray[np.str_], names: Sequence[str]) -> Figure:
    """Draw the class sizes, largest first, on a logarithmic axis.

    Args:
        train_counts (NDArray): Training images of each class, ``(C,)``.
        groups (NDArray): ``'many'``, ``'medium'`` or ``'few'`` for each class, ``(C,)``.
        names (Sequence[str]): Class names, ``C`` of them.
    """
    order = np.argsort(-train_counts, kind="stable")
    figure = new_figure(class_width(len(order), 9), 4)
    axes = figure.subplots()
    for group, color in GROUP_COLORS.items():
        ranks = np.flatnonzero(groups[order] == group)
        if len(ranks):
            sizes = train_counts[order][ranks]
            noun = "class" if len(ranks) == 1 else "classes"
            label = f"{group}: {len(ranks):,} {noun}, {sizes.sum():,} images"
            size_bars(axes, ranks, sizes, color, label, labelled=len(order) <= MAX_LABELLED_BARS)
    axes.set_xlim(-0.5, len(order) - 0.5)
    class_ticks(axes, [names[index] for index in order])
    clean(axes)
    axes.legend(loc="upper right")
    return figure
