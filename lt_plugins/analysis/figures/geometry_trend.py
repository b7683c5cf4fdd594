"""Geometry trend: draws alignment, uniformity and class distances over the epochs of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lt_plugins.visualization.style import GROUP_COLORS, clean, new_figure

Numbers = Mapping[str, Mapping[str, float]]
COLORS = {"all": "black", **GROUP_COLORS}
TITLES = {
    "alignment": "alignment: two views of an image (lower: closer)",
    "uniformity": "uniformity (lower: more evenly spread)",
    "within": "distance within a class",
    "between": "distance to other classes",
}


def plot_geometry_trend(
    measured: Sequence[tuple[int, Numbers]], logged: Sequence[tuple[int, Numbers]], ideals: Mapping[str, float]
) -> Figure:
    """Draw a panel for each number: a line for all images and for many-, medium- and few-shot classes each.

    Args:
        measured (Sequence[tuple[int, Numbers]]): Epoch, and value by quantity and group, of each checkpoint that was
            measured; large marks.
        logged (Sequence[tuple[int, Numbers]]): The same from the log of the run; a thin line with points.
        ideals (Mapping[str, float]): Value that a quantity has in an ideal arrangement; a dashed line.
    """
    figure = new_figure(10, 7)
    for axes, (quantity, title) in zip(figure.subplots(2, 2).flat, TITLES.items(), strict=True):
        for group, color in COLORS.items():
            for points, style in (
                (logged, {"linewidth": 1, "marker": ".", "markersize": 4, "alpha": 0.6}),
                (measured, {"linewidth": 0 if logged else 1.6, "marker": "o", "markersize": 6}),
            ):
                line = [(epoch, numbers[quantity][group]) for epoch, numbers in points if group in numbers[quantity]]
                if line:
                    axes.plot(*np.array(line).T, color=color, markeredgecolor="white", markeredgewidth=0.5, **style)
        if quantity in ideals:
            axes.axhline(ideals[quantity], color="0.4", linestyle="--", linewidth=1.2, zorder=1)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("epoch")
        axes.set_xlim(0, 1.03 * max(epoch for epoch, _ in (*measured, *logged)))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.margins(y=0.12)
        if quantity != "uniformity":
            axes.set_ylim(bottom=0)
        clean(axes)
    drawn = {group for _, numbers in (*measured, *logged) for values in numbers.values() for group in values}
    handles = [
        Line2D([], [], color=color, marker="o", markersize=5, label=group if group == "all" else f"{group}-shot")
        for group, color in COLORS.items()
        if group in drawn
    ]
    handles.append(Line2D([], [], color="0.4", linestyle="--", label="evenly spread, or classes on a simplex"))
    if logged:
        handles.append(Line2D([], [], color="0.4", marker=".", linewidth=1, alpha=0.6, label="from the log"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=9)
    return figure
