"""Mean angles: draws the angles between class means as a heat map, and of each class to the nearest other one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lt_plugins.visualization.style import (
    GROUP_COLORS,
    MAX_NAMED_CLASSES,
    class_ticks,
    clean,
    name_groups,
    new_figure,
    shade_groups,
    shorten,
)

# Smaller differences get no more colour than this, in degrees, so that nothing looks like much.
_LEAST_DEVIATION = 5.0
_MAX_NUMBERED_CLASSES = 15


def plot_mean_angles(
    blocks: NDArray[np.float64], names: Sequence[str], groups: NDArray[np.str_], ideal: float
) -> Figure:
    """Draw the angles between class means, largest class first; white is the angle of the ideal simplex.

    Args:
        blocks (NDArray): Mean angle between blocks of neighbouring classes in degrees, ``(B, B)``, one a class where
            ``B`` is ``C``; NaN, left grey, for some but not all.
        names (Sequence[str]): Class names, largest class first, ``C`` of them.
        groups (NDArray): ``'many'``, ``'medium'`` or ``'few'`` for each of them, ``(C,)``; lines part them.
        ideal (float): Angle of the simplex in degrees.
    """
    num_classes = len(names)
    figure = new_figure(8, 7)
    axes = figure.subplots()
    known = blocks[~np.isnan(blocks)]
    deviation = max(_LEAST_DEVIATION, 1.05 * float(np.abs(known - ideal).max()))
    image = axes.imshow(
        blocks,
        cmap="RdBu",
        norm=Normalize(ideal - deviation, ideal + deviation),
        extent=(-0.5, num_classes - 0.5, num_classes - 0.5, -0.5),
        interpolation="nearest",
    )
    axes.set_facecolor("0.8")  # a class and itself, classes without images
    bar = figure.colorbar(image, ax=axes, label="angle of the class means (degrees)", shrink=0.85)
    lower, upper = min(known.min(), ideal), max(known.max(), ideal)
    pad = 0.03 * max(upper - lower, _LEAST_DEVIATION)
    bar.ax.set_ylim(lower - pad, upper + pad)
    bar.ax.axhline(ideal, color="black", linewidth=1.5)
    ticks = [tick for tick in MaxNLocator(6).tick_values(lower, upper) if lower <= tick <= upper]
    apart = [tick for tick in ticks if abs(tick - ideal) > 2 * pad]
    bar.set_ticks([*apart, ideal], labels=[*(f"{tick:g}" for tick in apart), f"{ideal:.1f} simplex"])
    if len(blocks) <= _MAX_NUMBERED_CLASSES:
        for (row, column), angle in np.ndenumerate(blocks):
            if not np.isnan(angle):
                color = "white" if abs(angle - ideal) > 0.7 * deviation else "black"
                axes.text(column, row, f"{angle:.0f}", ha="center", va="center", color=color, fontsize=9)
    if num_classes <= MAX_NAMED_CLASSES:
        short = [shorten(name) for name in names]
        axes.set_xticks(range(num_classes), short, rotation=90 if max(map(len, short)) > 2 else 0)
        axes.set_yticks(range(num_classes), short)
    for boundary in np.flatnonzero(groups[1:] != groups[:-1]):
        axes.axhline(boundary + 0.5, color="black", linewidth=1.2)
        axes.axvline(boundary + 0.5, color="black", linewidth=1.2)
    name_groups(axes, groups)
    unit = "class" if num_classes <= MAX_NAMED_CLASSES else "class rank"
    axes.set_xlabel(f"{unit}, largest first")
    axes.set_ylabel(f"{unit}, largest first")
    return figure


def plot_nearest_angles(
    nearest: NDArray[np.float64],
    average: NDArray[np.float64],
    names: Sequence[str],
    groups: NDArray[np.str_],
    ideal: float,
) -> Figure:
    """Draw the angle of each class mean to the nearest other one and to all others on average, largest class first.

    Args:
        nearest (NDArray): Angle to the nearest other class mean in degrees, ``(C,)``; NaN without images.
        average (NDArray): Mean angle to the others, ``(C,)``.
        names (Sequence[str]): Class names, largest class first, ``C`` of them.
        groups (NDArray): ``'many'``, ``'medium'`` or ``'few'`` for each of them, ``(C,)``.
        ideal (float): Angle of the simplex in degrees.
    """
    figure = new_figure(9, 4.5)
    axes = figure.subplots()
    ranks = np.arange(len(names))
    size = float(np.clip(400 / len(names), 2, 30))
    for group, color in GROUP_COLORS.items():
        members = groups == group
        axes.scatter(ranks[members], nearest[members], s=size, color=color, zorder=3)
    axes.scatter(ranks, average, s=size, facecolor="none", edgecolor="0.35", linewidth=0.8, zorder=2)
    axes.axhline(ideal, color="0.2", linestyle="--", linewidth=1.2)
    shade_groups(axes, groups)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(0, 1.08 * max(ideal, float(np.nanmax([*nearest, *average, 0]))))
    axes.set_ylabel("angle of class means (degrees)")
    class_ticks(axes, names)
    clean(axes)
    handles = [
        axes.plot([], [], "o", color="0.35", label="to the nearest class (colour: group)")[0],
        axes.plot([], [], "o", color="0.35", markerfacecolor="none", label="to all others, mean")[0],
        axes.plot([], [], "--", color="0.2", label=f"simplex, {ideal:.1f}")[0],
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure
