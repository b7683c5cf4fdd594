"""Shot trade-off: draws few-shot against many-shot accuracy along sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from lt_plugins.visualization.style import RUN_COLORS, RUN_MARKERS, clean, new_figure


class SweepLine(NamedTuple):
    """One sweep of the figure.

    Args:
        name (str): Name in the legend.
        x (Sequence[float]): Accuracy on many-shot classes in percent, one a setting.
        y (Sequence[float]): Accuracy on few-shot classes in percent.
        labels (Sequence[str]): What is written beside each point; empty for nothing.
        chosen (int): Which point was chosen.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    labels: Sequence[str]
    chosen: int


def plot_shot_tradeoff(
    lines: Sequence[SweepLine], x_name: str = "many-shot", y_name: str = "few-shot", title: str = ""
) -> Figure:
    """Draw each sweep as a line through its settings, with the chosen one filled.

    Args:
        lines (Sequence[SweepLine]): The sweeps; a single point for a method without settings.
        x_name (str): Classes of the horizontal axis. Defaults to ``"many-shot"``.
        y_name (str): Classes of the vertical axis. Defaults to ``"few-shot"``.
        title (str): What is above the figure. Defaults to nothing.
    """
    figure = new_figure(7.5, 5.5)
    axes = figure.subplots()
    for index, line in enumerate(lines):
        color, marker = RUN_COLORS[index % len(RUN_COLORS)], RUN_MARKERS[index % len(RUN_MARKERS)]
        if len(line.x) > 1:
            axes.plot(line.x, line.y, color=color, linewidth=1.2, marker=marker, markersize=4, markerfacecolor="white")
        x, y = line.x[line.chosen], line.y[line.chosen]
        axes.plot(
            [x],
            [y],
            color=color,
            marker=marker,
            markersize=10,
            linestyle="none",
            markeredgecolor="white",
            label=line.name,
            zorder=3,
        )
        for left, bottom, label in zip(line.x, line.y, line.labels, strict=True):
            if label:
                axes.annotate(label, (left, bottom), xytext=(5, 4), textcoords="offset points", fontsize=8, color=color)
    axes.set_xlabel(f"accuracy on {x_name} classes (%)")
    axes.set_ylabel(f"accuracy on {y_name} classes (%)")
    axes.margins(0.08)
    clean(axes)
    axes.grid(axis="x", color="0.88", linewidth=0.8)
    if title:
        axes.set_title(title, fontsize=11)
    figure.legend(loc="outside upper center", ncols=min(len(lines), 4), frameon=False)
    return figure
