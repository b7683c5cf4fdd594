"""Subclass distances: draws how far images are from their own class and from their own subclass."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from lt_plugins.visualization.style import GROUP_COLORS, RUN_COLORS, clean, new_figure

_CLASS_COLOR = "0.55"
_SUBCLASS_COLOR = RUN_COLORS[1]


def plot_subclass_distances(
    to_class: NDArray[np.float64], to_subclass: NDArray[np.float64], groups: NDArray[np.str_]
) -> Figure:
    """Draw the distribution of both distances for many-, medium- and few-shot classes (Fig. 2 of the SBCL paper).

    A violin is the distribution over the images, the box inside holds the middle half, the dot and the number beside it
    are the mean.

    Args:
        to_class (NDArray): Mean distance of each image to its own class, ``(M,)``.
        to_subclass (NDArray): Mean distance of each image to its own subclass, ``(M,)``.
        groups (NDArray): ``'many'``, ``'medium'`` or ``'few'`` for the class of each image, ``(M,)``.
    """
    present = [group for group in GROUP_COLORS if (groups == group).any()]
    figure = new_figure(max(6.0, 1.5 + 2.1 * len(present)), 4.5)  # the legend fits
    axes = figure.subplots()
    for position, group in enumerate(present):
        members = groups == group
        _violin(axes, to_class[members], position - 0.21, _CLASS_COLOR)
        _violin(axes, to_subclass[members], position + 0.21, _SUBCLASS_COLOR)
    ticks = [f"{group}-shot\n{(groups == group).sum():,} images" for group in present]
    axes.set_xticks(range(len(present)), ticks)
    axes.set_xlim(-0.5, len(present) - 0.5)
    axes.set_ylim(0, 1.05 * max(to_class.max(), to_subclass.max(), 1e-6))
    axes.set_ylabel("mean distance of an image")
    clean(axes)
    handles = [
        Patch(color=_CLASS_COLOR, label="to its class (as many images as a few-shot class)"),
        Patch(color=_SUBCLASS_COLOR, label="to its subclass"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return figure


def _violin(axes: Axes, values: NDArray[np.float64], position: float, color: str) -> None:
    bodies: Any = axes.violinplot(values, positions=[position], widths=0.38, showextrema=False)["bodies"]
    for body in bodies:
        body.set(facecolor=color, edgecolor="none", alpha=0.45)
    lower, upper = np.quantile(values, [0.25, 0.75])
    mean = float(values.mean())
    axes.vlines(position, lower, upper, color=color, linewidth=5)
    axes.plot(position, mean, "o", color="white", markeredgecolor="0.1", markersize=5)
    axes.annotate(f"{mean:.2f}", (position, mean), xytext=(7, 0), textcoords="offset points", va="center", fontsize=9)
