"""Embedding: draws features in two dimensions as a scatter plot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lt_plugins.visualization.style import RUN_COLORS, RUN_MARKERS, new_figure, shorten

# More names than this do not fit beside the points.
MAX_NAMED_GROUPS = 24


def plot_embedding(points: NDArray[np.float32], groups: NDArray[np.int64], names: Sequence[str], title: str) -> Figure:
    """Draw points that are coloured by group.

    Groups differ in colour and marker, as far as these go (49 groups). As no reader tells so many apart, more groups
    than have room in a legend are told apart by lines that tie each point to the mean of its group.

    Args:
        points (NDArray): Coordinates of the points, ``(N, 2)``.
        groups (NDArray): Group of each point, ``(N,)`` in ``[0, G)``.
        names (Sequence[str]): Names of the groups, ``G`` of them.
        title (str): Title of the figure.
    """
    named = len(names) <= MAX_NAMED_GROUPS
    figure = new_figure(8.2 if named else 6.5, 6.5)
    axes = figure.subplots()
    size = float(np.clip(16_000 / max(len(points), 1), 14, 40))
    for group, name in enumerate(names):
        members = points[groups == group]
        color = RUN_COLORS[group % len(RUN_COLORS)]
        if not named and len(members):
            _tie(axes, members, color)
        axes.scatter(
            members[:, 0],
            members[:, 1],
            s=size,
            color=color,
            marker=RUN_MARKERS[(group + group // len(RUN_COLORS)) % len(RUN_MARKERS)],
            alpha=0.75,
            linewidths=0,
            label=shorten(name, 24),
        )
    # The axes of t-SNE have no unit, but one scale.
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=11)
    if named:
        figure.legend(loc="outside right center", frameon=False, fontsize=9, markerscale=1.3)
    return figure


def _tie(axes: Axes, members: NDArray[np.float32], color: str) -> None:
    centre = np.broadcast_to(members.mean(axis=0), members.shape)
    axes.add_collection(
        LineCollection(list(np.stack([centre, members], axis=1)), colors=color, linewidths=0.6, alpha=0.35)
    )
