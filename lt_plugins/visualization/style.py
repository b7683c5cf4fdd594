"""Style of the figures: colours, group shading, ticks for few or many classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from numpy.typing import NDArray

from lt_plugins.visualization.fonts import spell

# Okabe and Ito's palette, which stays distinct for colour-blind readers.
GROUP_COLORS = {"many": "#0072B2", "medium": "#E69F00", "few": "#009E73"}
RUN_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
RUN_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# More class names than this do not fit beside each other, in small print; more sizes than this not above their bars.
MAX_NAMED_CLASSES = 30
MAX_SMALL_NAMES = 120
MAX_LABELLED_BARS = 15
SMALL_PRINT = 6.5
# Inches of a name in small print, and the number of names that stand for the others of more classes.
_NAME_WIDTH = 0.105
_SAMPLED_NAMES = 20
# Letters of the name of a run in a legend, and what a legend has room for.
MAX_RUN_NAME = 48
_LETTERS_PER_INCH = 13
_MARK_LETTERS = 6


def new_figure(width: float = 8.0, height: float = 4.5) -> Figure:
    """Make an empty figure outside pyplot's global state; its layout keeps labels from overlapping.

    Args:
        width (float): Width in inches. Defaults to 8.0.
        height (float): Height in inches. Defaults to 4.5.
    """
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))


def clean(axes: Axes) -> None:
    """Drop the frame's upper and right side and lay a light horizontal grid under the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.88", linewidth=0.8)
    axes.set_axisbelow(True)


def size_bars(
    axes: Axes,
    ranks: NDArray[np.int64],
    train_counts: NDArray[np.int64],
    color: str,
    label: str | None = None,
    labelled: bool = False,
) -> None:
    """Draw class sizes as bars from 0 on a logarithmic axis; more than 100 touch and are drawn as one shape.

    Args:
        axes (Axes): Where.
        ranks (NDArray): Neighbouring positions on the x axis, ``(R,)``.
        train_counts (NDArray): Training images of the classes there, ``(R,)``.
        color (str): Colour of the bars.
        label (str | None): Name in the legend. Defaults to None.
        labelled (bool): Whether the sizes are written above the bars. Defaults to False.
    """
    if len(ranks) > 100:
        edges = np.append(ranks - 0.5, ranks[-1] + 0.5)
        axes.stairs(train_counts, edges, fill=True, color=color, label=label)
    else:
        bars = axes.bar(ranks, train_counts, color=color, linewidth=0, label=label)
        if labelled:
            axes.bar_label(bars, [f"{count:,}" for count in train_counts], padding=2, fontsize=9)
    axes.set_yscale("symlog", linthresh=1)  # a class may have no training image
    axes.set_ylim(bottom=0)
    axes.set_ylabel("training images")


def class_width(num_classes: int, width: float) -> float:
    """Width of a figure over classes, which grows where their names are in small print.

    Args:
        num_classes (int): Number of classes.
        width (float): Width in inches that is enough for 30 classes, or for thousands without all names.
    """
    return max(width, 1.5 + _NAME_WIDTH * num_classes) if num_classes <= MAX_SMALL_NAMES else width


def class_ticks(axes: Axes, names: Sequence[str]) -> None:
    """Label the x axis with the names of classes at 0, 1, ..., of more than 120 with some names and their ranks.

    Args:
        axes (Axes): Where.
        names (Sequence[str]): Class names in the order of the axis.
    """
    positions, labels = class_labels(names)
    if len(names) > MAX_NAMED_CLASSES:
        axes.set_xticks(positions, labels, rotation=90, fontsize=SMALL_PRINT)
    else:
        crowded = sum(map(len, names)) > 60
        axes.set_xticks(positions, labels, rotation=90 if crowded else 0)
    axes.set_xlabel("class, largest first" if len(labels) == len(names) else "rank by training images: class")


def class_labels(names: Sequence[str]) -> tuple[list[int], list[str]]:
    """Positions and labels of the ticks of an axis of classes: all names, or of more than 120 some with their ranks.

    Args:
        names (Sequence[str]): Class names in the order of the axis.
    """
    if len(names) <= MAX_SMALL_NAMES:
        return [*range(len(names))], [shorten(name) for name in names]
    positions = [round(index * (len(names) - 1) / (_SAMPLED_NAMES - 1)) for index in range(_SAMPLED_NAMES)]
    return positions, [f"{position + 1}: {shorten(names[position])}" for position in positions]


def shade_groups(axes: Axes, groups: NDArray[np.str_]) -> None:
    """Shade the many-, medium- and few-shot ranges of an x axis that is sorted by class size, and name them on top.

    Args:
        axes (Axes): Where.
        groups (NDArray): Group of each class in the order of the axis, ``(C,)``.
    """
    for group, color in GROUP_COLORS.items():
        members = np.flatnonzero(groups == group)
        if len(members):
            axes.axvspan(members[0] - 0.5, members[-1] + 0.5, color=color, alpha=0.08, linewidth=0, zorder=0)
    name_groups(axes, groups)


def name_groups(axes: Axes, groups: NDArray[np.str_]) -> None:
    """Name the many-, medium- and few-shot ranges of an x axis that is sorted by class size, on top of it.

    Args:
        axes (Axes): Where.
        groups (NDArray): Group of each class in the order of the axis, ``(C,)``.
    """
    for group in GROUP_COLORS:
        members = np.flatnonzero(groups == group)
        if not len(members):
            continue
        # Beside a wide group a narrow one has no room for a horizontal name.
        narrow = len(members) < 0.08 * len(groups)
        axes.annotate(
            group,
            ((members[0] + members[-1]) / 2, 1.01),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            rotation=90 if narrow else 0,
            color="0.25",
            fontweight="bold",
        )


def group_legend(figure: Figure, groups: Collection[str | None]) -> None:
    """Name the colours of the frames of images in the lower left corner of a figure.

    Args:
        figure (Figure): Where.
        groups (Collection[str | None]): The groups that occur; without any there is no legend.
    """
    handles = [
        Patch(color=color, label=f"{group}-shot class") for group, color in GROUP_COLORS.items() if group in groups
    ]
    if handles:
        figure.legend(handles=handles, loc="lower left", ncols=3, frameon=False, fontsize=9)


def run_legend(figure: Figure) -> None:
    """Name the runs above the axes, in as many columns as their names leave room for.

    Args:
        figure (Figure): Where.
    """
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = int(figure.get_figwidth() * _LETTERS_PER_INCH / (max(map(len, labels), default=1) + _MARK_LETTERS))
    ncols = max(1, min(columns, len(labels), 4))
    figure.legend(handles, labels, loc="outside upper center", ncols=ncols, frameon=False, fontsize=9)


def shorten(name: str, length: int = 18) -> str:
    """Cut a long name in the middle, where class names differ least; spell what no font can show."""
    name = spell(name)
    return name if len(name) <= length else f"{name[: length // 2]}…{name[-(length // 2 - 1) :]}"


def shorten_lines(text: str) -> str:
    """Cut each line that is too long."""
    return "\n".join(shorten(line) for line in text.splitlines())
