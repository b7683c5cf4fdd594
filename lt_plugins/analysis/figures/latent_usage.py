"""Latent usage: draws the weight of each latent category in each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lt_plugins.visualization.confusion import MAX_CELLS
from lt_plugins.visualization.style import (
    GROUP_COLORS,
    MAX_NAMED_CLASSES,
    class_ticks,
    class_width,
    clean,
    new_figure,
    shade_groups,
    size_bars,
)

# Smaller differences get no more colour than this, so that nothing looks like much.
_LEAST_DEVIATION = 0.01
_BAR_COLOR = "0.55"


def plot_latent_usage(
    usage: NDArray[np.float32],
    train_counts: NDArray[np.int64],
    names: Sequence[str],
    groups: NDArray[np.str_] | None = None,
) -> Figure:
    """Draw the usage of latent categories by classes, largest class first, below the sizes of the classes.

    Neighbouring latent categories are used by the same classes; those that the largest class prefers are on top. More
    than 200 classes are drawn in blocks of neighbouring size, in which each class weighs the same.

    Args:
        usage (NDArray): Weight of each latent category relative to even use, mean over the images of a class,
            ``(C, M)``; NaN for a class without images.
        train_counts (NDArray): Training images of each class, ``(C,)``; they decide the order.
        names (Sequence[str]): Class names, ``C`` of them.
        groups (NDArray | None): ``'many'``, ``'medium'`` or ``'few'`` for each class, ``(C,)``. Defaults to none.
    """
    order = np.argsort(-train_counts, kind="stable")
    sorted_usage = usage[order]
    latents = order_latents(sorted_usage)
    num_classes, num_latents = usage.shape
    width = max(9, 1.15 * class_width(num_classes, 0))  # the colour bar takes its share
    figure = new_figure(width, min(3.2 + 0.13 * num_latents, 11))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, float(np.clip(0.11 * num_latents, 2.5, 5))))
    _draw_sizes(upper, train_counts[order], None if groups is None else groups[order])

    cells = _merge(sorted_usage, min(num_classes, MAX_CELLS))[:, latents].T  # (M, blocks)
    deviation = max(_LEAST_DEVIATION, float(np.nanmax(np.abs(cells - 1))))
    image = lower.imshow(
        cells,
        cmap="RdBu_r",
        norm=TwoSlopeNorm(1, 1 - deviation, 1 + deviation),
        extent=(-0.5, num_classes - 0.5, num_latents - 0.5, -0.5),
        interpolation="nearest",
        aspect="auto",
    )
    lower.set_facecolor("0.8")  # classes without images
    ticks = 1 + deviation * np.linspace(-1, 1, 5)
    figure.colorbar(image, ax=lower, label="weight relative to even use", pad=0.01, ticks=ticks, format="%.3f")
    if num_latents <= 2 * MAX_NAMED_CLASSES:
        lower.set_yticks(range(num_latents), [str(latent) for latent in latents], fontsize=7)
    lower.set_ylabel("latent category" if num_latents <= 2 * MAX_NAMED_CLASSES else "rank of latent category")
    class_ticks(lower, [names[index] for index in order])
    if groups is not None:
        for boundary in np.flatnonzero(groups[order][1:] != groups[order][:-1]):
            lower.axvline(boundary + 0.5, color="0.2", linewidth=0.8)
    return figure


def order_latents(usage: NDArray[np.float32]) -> NDArray[np.int64]:
    """Order latent categories so that neighbours are used by the same classes: along the first principal component.

    Args:
        usage (NDArray): Usage by the classes, largest first, ``(C, M)``; NaN for a class without images.

    Returns:
        NDArray: The latent categories, ``(M,)``; those that the largest class prefers come first.
    """
    present = usage[~np.isnan(usage[:, 0])].astype(np.float64)
    classes, _, components = np.linalg.svd(present - present.mean(axis=0), full_matrices=False)
    return np.argsort(-components[0] * np.sign(classes[0, 0]), kind="stable")


def _draw_sizes(axes: Axes, train_counts: NDArray[np.int64], groups: NDArray[np.str_] | None) -> None:
    ranks = np.arange(len(train_counts))
    if groups is None:
        size_bars(axes, ranks, train_counts, _BAR_COLOR)
    else:
        for group, color in GROUP_COLORS.items():
            members = ranks[groups == group]
            if len(members):
                size_bars(axes, members, train_counts[members], color)
        shade_groups(axes, groups)
    axes.tick_params(axis="x", labelbottom=False)
    clean(axes)


def _merge(usage: NDArray[np.float32], num_blocks: int) -> NDArray[np.float64]:
    """Mean over blocks of neighbouring classes; NaN for a block without images, ``(num_blocks, M)``."""
    num_classes = len(usage)
    block = np.arange(num_classes) * num_blocks // num_classes
    present = ~np.isnan(usage[:, 0])
    sums = np.zeros((num_blocks, usage.shape[1]))
    np.add.at(sums, block[present], usage[present])
    with np.errstate(invalid="ignore"):
        return sums / np.bincount(block[present], minlength=num_blocks)[:, None]
