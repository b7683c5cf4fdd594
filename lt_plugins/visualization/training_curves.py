"""Training curves: draws losses, learning rate and test metrics over a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from lt_plugins.visualization.style import RUN_COLORS, clean, new_figure

FEW_POINTS = 40  # up to which each is marked: a line alone does not show when a run was evaluated
LARGEST_DRAWN = 1e100  # differences of larger numbers overflow in the layout of the axis

Curves = Mapping[str, tuple[ArrayLike, ArrayLike]]


def plot_training_curves(
    losses: Curves, learning_rates: Curves, metrics: Curves, monitor: str | None = None, metric_unit: str = "epoch"
) -> Figure:
    """Draw a panel each for the losses, the learning rates and the metrics; a panel without data is left out.

    Args:
        losses (Curves): ``(iterations, values)`` by the name of the loss.
        learning_rates (Curves): ``(iterations, values)`` by name.
        metrics (Curves): ``(epochs, percentages)`` by name.
        monitor (str | None): The metric whose best and last value are marked. Defaults to None.
        metric_unit (str): What the metrics were taken by, ``'epoch'`` or ``'iteration'``. Defaults to ``'epoch'``.

    Raises:
        ValueError: If there is nothing to draw.
    """
    panels = [
        ("loss", "iteration", losses),
        ("learning rate", "iteration", learning_rates),
        ("metric (%)", metric_unit, metrics),
    ]
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        raise ValueError("there are no curves to draw")
    figure = new_figure(9, 2.8 * len(panels))
    for axes, (ylabel, xlabel, curves) in zip(np.atleast_1d(figure.subplots(len(panels), 1)), panels, strict=True):
        _plot_panel(axes, curves, monitor)
        axes.set_ylabel(ylabel)
        axes.set_xlabel(xlabel)
        if curves is metrics and monitor is not None and monitor in metrics:
            _mark_best_and_last(axes, *metrics[monitor], metric_unit)
        # Beside the axes a long list of names hides no data.
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8, frameon=False)
    return figure


def _plot_panel(axes: Axes, curves: Curves, monitor: str | None) -> None:
    for index, (name, (steps, values)) in enumerate(curves.items()):
        axes.plot(
            _drawable(steps),
            _drawable(values),
            color=RUN_COLORS[index % len(RUN_COLORS)],
            linestyle=("-", "--", ":")[index // len(RUN_COLORS) % 3],
            marker="o" if np.size(steps) <= FEW_POINTS else None,
            markersize=4,
            linewidth=2.5 if name == monitor else 1.5,
            zorder=3 if name == monitor else 2,  # others often lie on it
            label=name,
        )
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    clean(axes)


def _drawable(values: ArrayLike) -> NDArray[np.float64]:
    """NaN, which leaves a gap, for what no axis can show: a diverged loss, the numbers of a damaged log."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.abs(numbers) < LARGEST_DRAWN, numbers, np.nan)


def _mark_best_and_last(axes: Axes, steps: ArrayLike, values: ArrayLike, unit: str) -> None:
    steps, values = np.asarray(steps), _drawable(values)
    if np.isnan(values).all():
        return
    marks = (("best", int(np.nanargmax(values)), "*", 13), ("last", len(values) - 1, "o", 8))
    for word, index, marker, size in marks:
        axes.plot(
            steps[index],
            values[index],
            linestyle="none",
            marker=marker,
            markersize=size,
            markerfacecolor="none",
            markeredgecolor="black",
            label=f"{word}: {values[index]:.1f} ({unit} {steps[index]})",
        )
