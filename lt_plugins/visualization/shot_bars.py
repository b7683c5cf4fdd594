"""Shot bars: draws the accuracy on many-, medium- and few-shot classes, runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from lt_plugins.visualization.style import MAX_RUN_NAME, RUN_COLORS, clean, new_figure, run_legend, shorten


def plot_shot_bars(
    results: Mapping[str, Mapping[str, float]], groups: Sequence[str] = ("overall", "many", "medium", "few")
) -> Figure:
    """Draw one cluster of bars a group and one bar a run.

    Args:
        results (Mapping[str, Mapping[str, float]]): Accuracies in percent by group, for each run by its name. A group
            that a run does not have gets no bar.
        groups (Sequence[str]): Groups in the order of the axis. Defaults to ``('overall', 'many', 'medium', 'few')``.
    """
    groups = [group for group in groups if any(group in values for values in results.values())]
    figure = new_figure(max(6.0, 1.2 + 0.5 * len(groups) * (len(results) + 1)), 4)
    axes = figure.subplots()
    width = 0.8 / len(results)
    for index, (run, values) in enumerate(results.items()):
        present = [position for position, group in enumerate(groups) if group in values]
        heights = [values[groups[position]] for position in present]
        offset = (index - (len(results) - 1) / 2) * width
        bars = axes.bar(
            [position + offset for position in present],
            heights,
            width=0.94 * width,
            color=RUN_COLORS[index % len(RUN_COLORS)],
            label=shorten(run, MAX_RUN_NAME),
        )
        axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=9)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_ylabel("accuracy (%)")
    axes.set_ylim(0, 105)
    clean(axes)
    if len(results) > 1:
        run_legend(figure)
    return figure
