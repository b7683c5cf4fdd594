"""Subclass sizes: draws histograms of the images of subclasses."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lt_plugins.visualization.style import GROUP_COLORS, clean, new_figure

_WHOLE_HATCH = "////"
# Sizes are counted one by one up to so many, else in bins.
_MAX_BARS = 60
_MAX_LABELLED_BARS = 20


def plot_subclass_sizes(sizes: NDArray[np.int64], is_part: NDArray[np.bool_], groups: NDArray[np.str_]) -> Figure:
    """Draw a histogram of the sizes of subclasses, for many-, medium- and few-shot classes each.

    Args:
        sizes (NDArray): Images of each subclass, ``(S,)``.
        is_part (NDArray): Whether the class has other subclasses too, ``(S,)``; else the subclass is a whole class.
        groups (NDArray): ``'many'``, ``'medium'`` or ``'few'`` for the class of each subclass, ``(S,)``.
    """
    present = [group for group in GROUP_COLORS if (groups == group).any()]
    width = -(-int(np.ptp(sizes) + 1) // _MAX_BARS)
    edges = np.arange(sizes.min(), sizes.max() + width + 1, width) - 0.5
    figure = new_figure(8, 0.9 + 1.7 * len(present))
    rows = figure.subplots(len(present), 1, sharex=True, squeeze=False)[:, 0]
    for axes, group in zip(rows, present, strict=True):
        color = GROUP_COLORS[group]
        members = groups == group
        parts, _ = np.histogram(sizes[members & is_part], edges)
        whole, _ = np.histogram(sizes[members & ~is_part], edges)
        common = {"width": 0.9 * width, "edgecolor": color, "linewidth": 0.8}
        filled = parts + whole > 0
        centres, parts, whole = (edges[:-1] + width / 2)[filled], parts[filled], whole[filled]
        axes.bar(centres, parts, color=color, **common)
        bars = axes.bar(centres, whole, bottom=parts, color="white", hatch=_WHOLE_HATCH, **common)
        if len(edges) <= _MAX_LABELLED_BARS:
            axes.bar_label(bars, [f"{total:,}" for total in parts + whole], padding=2, fontsize=8)
        axes.set_ylim(0, 1.2 * (parts + whole).max())
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axes.set_title(_describe(group, sizes[members], is_part[members]), fontsize=10, loc="left")
        clean(axes)
    rows[-1].set_xlim(0, edges[-1] + 0.5)
    rows[-1].xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
    rows[-1].set_xlabel("images of the subclass")
    figure.supylabel("subclasses", fontsize=10)
    handles = [
        Patch(facecolor="0.4", edgecolor="0.4", label="part of a split class"),
        Patch(facecolor="white", edgecolor="0.4", hatch=_WHOLE_HATCH, label="whole class"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return figure


def _describe(group: str, sizes: NDArray[np.int64], is_part: NDArray[np.bool_]) -> str:
    texts = []
    for chosen, one, several in ((sizes[is_part], "part", "parts"), (sizes[~is_part], "whole class", "whole classes")):
        if len(chosen):
            span = f"{chosen.min():,}" if chosen.min() == chosen.max() else f"{chosen.min():,} to {chosen.max():,}"
            texts.append(f"{len(chosen):,} {one if len(chosen) == 1 else several} of {span} images")
    return f"{group}-shot: {', '.join(texts)}"
