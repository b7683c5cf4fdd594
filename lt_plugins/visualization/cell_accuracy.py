"""Cell accuracy: draws the accuracy over class size and attribute as a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from lt_plugins.visualization.style import GROUP_COLORS, new_figure, shorten

ROWS_A_GROUP = 4
"""Rows of classes of similar size that a group is split into at most."""
Counts = tuple[NDArray[np.int64], NDArray[np.int64]]


def plot_cell_accuracy(
    tests: Mapping[str, Counts],
    train_counts: NDArray[np.int64],
    groups: NDArray[np.str_],
    attributes: Sequence[str],
) -> Figure:
    """Draw the accuracy on test sets: classes of similar size from top to bottom, attributes from left to right.

    A row is of neighbouring classes of one group, at most four rows a group; the last row and column are of all. A cell
    states its accuracy and, below, its test images; one without is grey.

    Args:
        tests (Mapping[str, tuple[NDArray, NDArray]]): Test images and hits of each class and attribute, ``(C, A)``
            each, by the name of the test set.
        train_counts (NDArray): Training images of each class, ``(C,)``.
        groups (NDArray): ``'many'``, ``'medium'`` or ``'few'`` for each class, or ``''``, ``(C,)``.
        attributes (Sequence[str]): Names of the attributes, ``A`` of them.
    """
    rows = class_rows(train_counts, groups)
    labels = [_describe(members, train_counts, groups) for members in rows]
    names = [shorten(name) for name in attributes]
    figure = new_figure(2.2 + len(tests) * (0.9 + 0.75 * (len(names) + 1)), 1.5 + 0.5 * (len(rows) + 1))
    images: list[AxesImage] = []
    panels = figure.subplots(1, len(tests), sharey=True, squeeze=False)[0]
    for axes, (test, counts) in zip(panels, tests.items(), strict=True):
        total, hits = (np.stack([cells[members].sum(axis=0) for members in rows]) for cells in counts)
        images.append(_draw_cells(axes, _with_margins(total), _with_margins(hits)))
        axes.set_title(test)
        axes.set_xticks(range(len(names) + 1), [*names, "all"], rotation=90 if sum(map(len, names)) > 40 else 0)
        axes.set_xlabel("attribute")
    panels[0].set_yticks(range(len(rows) + 1), [*labels, "all classes"])
    for label, members in zip(panels[0].get_yticklabels(), rows, strict=False):
        label.set_color(GROUP_COLORS.get(str(groups[members[0]]), "black"))
    panels[0].set_ylabel("training images of a class")
    figure.colorbar(images[-1], ax=list(panels), label="accuracy (%)", shrink=0.85)
    return figure


def class_rows(train_counts: NDArray[np.int64], groups: NDArray[np.str_]) -> list[NDArray[np.int64]]:
    """Classes of similar size, largest first: those of a group in at most four rows of as equal length as can be.

    Args:
        train_counts (NDArray): Training images of each class, ``(C,)``.
        groups (NDArray): Group of each class, ``(C,)``.
    """
    order = np.argsort(-train_counts, kind="stable")
    rows = []
    for group in (*GROUP_COLORS, ""):
        members = order[groups[order] == group]
        rows += np.array_split(members, min(ROWS_A_GROUP, len(members))) if len(members) else []
    return rows


def _describe(members: NDArray[np.int64], train_counts: NDArray[np.int64], groups: NDArray[np.str_]) -> str:
    """Group and sizes of the classes of a row."""
    low, high = train_counts[members].min(), train_counts[members].max()
    sizes = f"{high:,}" if low == high else f"{high:,} to {low:,}"
    return f"{groups[members[0]]} {sizes}".strip()


def _with_margins(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cells with their sums as a further row and column."""
    cells = np.concatenate([cells, cells.sum(axis=1, keepdims=True)], axis=1)
    return np.concatenate([cells, cells.sum(axis=0, keepdims=True)])


def _draw_cells(axes: Axes, total: NDArray[np.int64], hits: NDArray[np.int64]) -> AxesImage:
    accuracy = np.where(total > 0, 100 * hits / np.maximum(total, 1), np.nan)
    image = axes.imshow(accuracy, cmap="cividis", vmin=0, vmax=100, aspect="auto", interpolation="nearest")
    axes.set_facecolor("0.8")
    for (row, column), value in np.ndenumerate(accuracy):
        if not np.isnan(value):
            color = "black" if value > 55 else "white"
            text = axes.text(column, row, f"{value:.0f}", ha="center", va="bottom", color=color, fontsize=10)
            text.set_fontweight("bold")
            axes.text(column, row + 0.08, f"{total[row, column]:,}", ha="center", va="top", color=color, fontsize=7)
    for position, line in ((total.shape[0] - 1.5, axes.axhline), (total.shape[1] - 1.5, axes.axvline)):
        line(position, color="white", linewidth=3)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image
