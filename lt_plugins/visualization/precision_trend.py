"""Precision trend: draws precision against accuracy over the epochs of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from lt_plugins.visualization.style import RUN_COLORS, RUN_MARKERS, clean, new_figure

Trend = tuple[Sequence[float], Sequence[float]]


def plot_precision_trend(tests: Mapping[str, Mapping[str, Trend]]) -> Figure:
    """Draw precision against accuracy, a line a run through its epochs, a panel a test set (Fig. 5 of the IFL paper).

    Re-balancing moves a run to the right and down, along a trade-off; what learns better moves it up as well. The last
    epoch is the large mark.

    Args:
        tests (Mapping[str, Mapping[str, tuple]]): Accuracies and precisions in percent, one an evaluated epoch, of each
            run by its name, by the name of the test set.
    """
    runs = list(dict.fromkeys(run for trends in tests.values() for run in trends))
    figure = new_figure(1.5 + 4.5 * len(tests), 5)
    for axes, (test, trends) in zip(figure.subplots(1, len(tests), squeeze=False)[0], tests.items(), strict=True):
        for run, (accuracy, precision) in trends.items():
            index = runs.index(run)
            color, marker = RUN_COLORS[index % len(RUN_COLORS)], RUN_MARKERS[index % len(RUN_MARKERS)]
            axes.plot(accuracy, precision, color=color, linewidth=1.2, marker=marker, markersize=3, alpha=0.6)
            last = {"markersize": 10, "markeredgecolor": "white", "linestyle": "none"}
            axes.plot(accuracy[-1:], precision[-1:], color=color, marker=marker, label=run, zorder=3, **last)
        axes.set_title(test)
        axes.set_xlabel("accuracy (%)")
        axes.set_ylabel("precision (%)")
        axes.margins(0.08)
        clean(axes)
        axes.grid(axis="x", color="0.88", linewidth=0.8)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    for axes in figure.axes[1:]:
        further = [(handle, label) for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)]
        handles += [handle for handle, label in further if label not in labels]
        labels += [label for _, label in further if label not in labels]
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 3), frameon=False)
    return figure
