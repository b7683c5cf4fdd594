"""Confusion matrix: draws the predictions of each class, classes ordered by size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lt_plugins.visualization.style import MAX_NAMED_CLASSES, SMALL_PRINT, class_labels, class_width, new_figure

# More cells than this across cannot be told apart on a page.
MAX_CELLS = 200


def plot_confusion_matrix(
    label: NDArray[np.int64],
    predicted: NDArray[np.int64],
    train_counts: NDArray[np.int64],
    names: Sequence[str],
    groups: NDArray[np.str_] | None = None,
) -> Figure:
    """Draw the predictions for the images of each class, in percent of that class, largest class first.

    More than 200 classes are drawn in blocks of neighbouring size: a cell is the share of images of the row's classes
    (each class weighs the same) that were taken for any of the column's.

    Args:
        label (NDArray): True classes, ``(N,)``.
        predicted (NDArray): Predicted classes, ``(N,)``; -1 for no prediction.
        train_counts (NDArray): Training images of each class, ``(C,)``; they decide the order.
        names (Sequence[str]): Class names, ``C`` of them.
        groups (NDArray | None): ``'many'``, ``'medium'`` or ``'few'`` for each class, ``(C,)``; lines part them.
    """
    order = np.argsort(-train_counts, kind="stable")
    num_classes = len(order)
    matrix = confusion_blocks(label, predicted, order, min(num_classes, MAX_CELLS))
    side = max(8, 1.15 * class_width(num_classes, 0))  # the colour bar takes its share
    figure = new_figure(side, side - 1)
    axes = figure.subplots()
    # Shares off the diagonal are small; the square root lets them be seen.
    image = axes.imshow(
        matrix,
        cmap="cividis",
        norm=PowerNorm(0.5, vmin=0, vmax=100),
        extent=(-0.5, num_classes - 0.5, num_classes - 0.5, -0.5),
        interpolation="nearest",
    )
    axes.set_facecolor("0.8")  # rows without test images
    figure.colorbar(image, ax=axes, label="share of the true class (%)", shrink=0.85)
    positions, labels = class_labels([names[index] for index in order])
    size = None if num_classes <= MAX_NAMED_CLASSES else SMALL_PRINT
    crowded = max(map(len, labels)) > 2
    axes.set_xticks(positions, labels, rotation=90 if crowded else 0, fontsize=size)
    axes.set_yticks(positions, labels, fontsize=size)
    if num_classes <= 15:
        for (row, column), share in np.ndenumerate(matrix):
            if share > 0:
                color = "black" if share > 30 else "white"
                axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=color, fontsize=9)
    if groups is not None:
        for boundary in np.flatnonzero(groups[order][1:] != groups[order][:-1]):
            axes.axhline(boundary + 0.5, color="white", linewidth=1)
            axes.axvline(boundary + 0.5, color="white", linewidth=1)
    unit = "class" if len(labels) == num_classes else "rank: class"
    axes.set_xlabel(f"predicted {unit}, largest first")
    axes.set_ylabel(f"true {unit}, largest first")
    return figure


def confusion_blocks(
    label: NDArray[np.int64], predicted: NDArray[np.int64], order: NDArray[np.int64], num_blocks: int
) -> NDArray[np.float64]:
    """Confusion matrix in percent of the true classes, with neighbouring classes merged into blocks.

    Args:
        label (NDArray): True classes, ``(N,)``.
        predicted (NDArray): Predicted classes, ``(N,)``; -1 for no prediction.
        order (NDArray): Classes in the order of the matrix, ``(C,)``.
        num_blocks (int): Rows and columns ``B``; ``C`` merges nothing.

    Returns:
        NDArray: ``(B, B)``, true along the first axis; a row is NaN if none of its classes has test images.
    """
    num_classes = len(order)
    block = np.empty(num_classes, dtype=np.int64)
    block[order] = np.arange(num_classes) * num_blocks // num_classes
    class_sizes = np.bincount(label, minlength=num_classes)
    tested_classes = np.bincount(block[class_sizes > 0], minlength=num_blocks)
    known = predicted >= 0
    cells = block[label[known]] * num_blocks + block[predicted[known]]
    shares = np.bincount(cells, weights=1 / class_sizes[label[known]], minlength=num_blocks**2)
    with np.errstate(invalid="ignore"):
        return 100 * shares.reshape(num_blocks, num_blocks) / tested_classes[:, None]
