"""Attribute distribution: draws how the images of splits and of classes spread over attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lt_plugins.visualization.style import RUN_COLORS, class_ticks, clean, new_figure


def plot_split_attributes(counts: Mapping[str, NDArray[np.int64]], names: Sequence[str]) -> Figure:
    """Draw the share of each attribute in each split as one stacked bar, with the number of images beside it.

    Args:
        counts (Mapping[str, NDArray]): Images with each attribute ``(A,)``, of each split by its name.
        names (Sequence[str]): Names of the ``A`` attributes.
    """
    figure = new_figure(8, 1.4 + 0.42 * len(counts))
    axes = figure.subplots()
    splits = [*counts][::-1]  # the first one on top
    totals = np.array([counts[split].sum() for split in splits])
    left = np.zeros(len(splits))
    for attribute, name in enumerate(names):
        shares = 100 * np.array([counts[split][attribute] for split in splits]) / np.maximum(totals, 1)
        bars = axes.barh(splits, shares, left=left, color=_color(attribute), label=name, height=0.7)
        axes.bar_label(bars, [f"{share:.0f}" if share >= 4 else "" for share in shares], label_type="center", color="w")
        left += shares
    for place, total in enumerate(totals):
        axes.text(101, place, f"{total:,} images", va="center", fontsize=9, color="0.25")
    axes.set_xlim(0, 118)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("share of the images (%)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=min(len(names), 6), frameon=False, title="attribute")
    return figure


def plot_class_attributes(cells: NDArray[np.int64], names: Sequence[str], classes: Sequence[str], title: str) -> Figure:
    """Draw the images of each class, stacked by attribute, largest class first.

    Args:
        cells (NDArray): Images of each class with each attribute, ``(C, A)``.
        names (Sequence[str]): Names of the ``A`` attributes.
        classes (Sequence[str]): Names of the ``C`` classes.
        title (str): Written above.
    """
    order = np.argsort(-cells.sum(axis=1), kind="stable")
    figure = new_figure(9, 4)
    axes = figure.subplots()
    edges = np.arange(len(order) + 1) - 0.5
    bottom = np.zeros(len(order))
    for attribute, name in enumerate(names):
        top = bottom + cells[order, attribute]
        # One shape: a thousand bars would take many times as long.
        axes.stairs(top, edges, baseline=bottom, fill=True, color=_color(attribute), label=name)
        bottom = top
    axes.set_xlim(-0.5, len(order) - 0.5)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("images")
    axes.set_title(title, fontsize=11)
    class_ticks(axes, [classes[label] for label in order])
    clean(axes)
    axes.legend(loc="upper right", title="attribute")
    return figure


def plot_stability(rand_index: NDArray[np.float64], limit: float) -> Figure:
    """Draw the adjusted Rand index of each class, lowest first, with the limit below which clusters are arbitrary.

    Args:
        rand_index (NDArray): Of the classes, ``(C,)``; those that are nan are left out.
        limit (float): The limit.
    """
    values = np.sort(rand_index[~np.isnan(rand_index)])
    figure = new_figure(8, 3.2)
    axes = figure.subplots()
    axes.axhspan(min(0.0, float(values.min(initial=0))), limit, color=RUN_COLORS[1], alpha=0.1, linewidth=0)
    axes.plot(range(len(values)), values, marker="o", markersize=3, linestyle="none", color=RUN_COLORS[0])
    axes.axhline(limit, color=RUN_COLORS[1], linewidth=1)
    axes.annotate(
        f"below {limit:g}: arbitrary",
        (0.99, limit),
        xycoords=("axes fraction", "data"),
        xytext=(0, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=9,
        color=RUN_COLORS[1],
    )
    axes.set_ylim(top=1.02)
    axes.set_xlabel("class, least stable first")
    axes.set_ylabel("adjusted Rand index")
    clean(axes)
    return figure


def _color(attribute: int) -> str:
    return RUN_COLORS[attribute % len(RUN_COLORS)]
