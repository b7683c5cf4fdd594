"""Figures of a contrastive run: what is drawn, and that labels are apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from lt_plugins.analysis.figures import plot_geometry_trend, plot_mean_angles, plot_nearest_angles
from lt_plugins.visualization.style import GROUP_COLORS
from tests.visualization.layout import assert_apart

QUANTITIES = ("alignment", "uniformity", "within", "between")


def groups_of(*sizes: int) -> NDArray[np.str_]:
    return np.repeat(["many", "medium", "few"], sizes)


def angles_of(size: int) -> NDArray[np.float64]:
    angles = np.random.default_rng(0).uniform(20, 110, (size, size))
    angles[np.diag_indices(size)] = np.nan
    return angles


@pytest.mark.parametrize(
    ("num_blocks", "sizes", "ideal"), [(10, (1, 4, 5), 96.4), (29, (10, 10, 9), 92.0), (200, (842, 4000, 3300), 90.0)]
)
def test_mean_angles(num_blocks: int, sizes: tuple[int, int, int], ideal: float) -> None:
    groups, blocks = groups_of(*sizes), angles_of(num_blocks)
    figure = plot_mean_angles(blocks, [f"a long class name {n}" for n in range(sum(sizes))], groups, ideal)
    axes, bar = figure.axes
    (image,) = axes.images
    drawn: Any = image.get_array()
    np.testing.assert_array_equal(np.ma.filled(drawn, np.nan), blocks)
    norm: Any = image.norm
    assert float(norm(ideal)) == pytest.approx(0.5), "white is the simplex"
    borders = sorted({float(np.ravel(line.get_xdata())[0]) for line in axes.lines} - {0.0})
    assert borders == [sizes[0] - 0.5, sizes[0] + sizes[1] - 0.5]
    numbers = [text.get_text() for text in axes.texts if text.get_text().isdigit()]
    assert len(numbers) == (90 if num_blocks == 10 else 0)
    figure.draw_without_rendering()
    lower, upper = bar.get_ylim()
    ticks = [label for label in bar.get_yticklabels() if lower <= label.get_position()[1] <= upper]
    assert f"{ideal:.1f} simplex" in [label.get_text() for label in ticks]
    assert lower < np.nanmin(blocks) and np.nanmax(blocks) < upper
    named = [text for text in axes.texts if text.get_text() in GROUP_COLORS]
    assert len(named) == 3
    labels = [*axes.get_yticklabels()] if num_blocks <= 30 else []
    assert_apart(figure, [item.get_window_extent() for item in (*ticks, *named, bar.yaxis.label, *labels)])


def test_mean_angles_of_equal_classes() -> None:
    """All on the simplex, or all at one place: the scale has still a width."""
    for angle in (120.0, 0.0):
        blocks = np.full((3, 3), angle)
        blocks[np.diag_indices(3)] = np.nan
        figure = plot_mean_angles(blocks, ["a", "b", "c"], groups_of(1, 1, 1), 120.0)
        figure.draw_without_rendering()
        lower, upper = figure.axes[1].get_ylim()
        assert lower < angle < upper


@pytest.mark.parametrize("sizes", [(1, 4, 5), (842, 4000, 3300)])
def test_nearest_angles(sizes: tuple[int, int, int]) -> None:
    groups, rng = groups_of(*sizes), np.random.default_rng(0)
    nearest, average = rng.uniform(5, 60, len(groups)), rng.uniform(60, 97, len(groups))
    nearest[1] = average[1] = np.nan
    figure = plot_nearest_angles(nearest, average, [str(n) for n in range(len(groups))], groups, 92.5)
    (axes,) = figure.axes
    for number, (group, color) in enumerate(GROUP_COLORS.items()):
        points = axes.collections[number]
        members = np.flatnonzero(groups == group)
        expected = np.stack([members, nearest[members]], axis=1)
        np.testing.assert_array_equal(np.ma.filled(points.get_offsets(), np.nan)[:, 1], expected[:, 1])
        assert {to_hex(face) for face in np.asarray(points.get_facecolor())} == {color.lower()}
    figure.draw_without_rendering()
    (legend,) = figure.legends
    named = [text for text in axes.texts if text.get_text() in GROUP_COLORS]
    assert_apart(figure, [item.get_window_extent() for item in (legend, *named, axes.yaxis.label, axes.xaxis.label)])
    assert axes.get_ylim()[1] > max(92.5, float(np.nanmax(average)))


def numbers_of(epoch: int, groups: tuple[str, ...]) -> dict[str, dict[str, float]]:
    return {
        quantity: {group: (row + 1) * epoch + column / 10 for column, group in enumerate(groups)}
        for row, quantity in enumerate(QUANTITIES)
    }


@pytest.mark.parametrize("with_log", [False, True])
def test_trend(with_log: bool) -> None:
    measured = [(epoch, numbers_of(epoch, ("all", "many", "few"))) for epoch in (5, 10)]
    logged = [(epoch, numbers_of(epoch, ("all", "few"))) for epoch in range(1, 11)] if with_log else []
    figure = plot_geometry_trend(measured, logged, {"uniformity": -3.9, "between": 1.49})
    figure.draw_without_rendering()
    assert len(figure.axes) == 4
    places = {"all": 0, "many": 1, "few": 2}
    for row, axes in enumerate(figure.axes):
        lines = {(to_hex(line.get_color()), np.size(line.get_xdata())): line for line in axes.lines}
        for group, color in {"all": "#000000", **GROUP_COLORS}.items():
            if group not in places:
                assert not any(key[0] == color.lower() for key in lines)
                continue
            line = lines[color.lower(), 2]
            assert line.get_marker() == "o"
            expected = [[epoch, (row + 1) * epoch + places[group] / 10] for epoch in (5, 10)]
            np.testing.assert_allclose(np.asarray(line.get_xydata()), expected)
            assert ((color.lower(), 10) in lines) == (with_log and group != "many")
        assert axes.get_xlim()[0] == 0 and axes.get_xlabel() == "epoch"
    dashed = [[line for line in axes.lines if line.get_linestyle() == "--"] for axes in figure.axes]
    assert [[np.asarray(line.get_ydata()).tolist()[0] for line in lines] for lines in dashed] == [
        [],
        [-3.9],
        [],
        [1.49],
    ]
    (legend,) = figure.legends
    assert ("from the log" in [text.get_text() for text in legend.get_texts()]) == with_log
    titles = [axes.title for axes in figure.axes] + [axes._left_title for axes in figure.axes]  # type: ignore[attr-defined]
    shown = [title for title in titles if title.get_text()]
    assert len(shown) == 4
    assert_apart(figure, [legend.get_window_extent(), *(title.get_window_extent() for title in shown)])


def test_trend_of_one_checkpoint() -> None:
    figure = plot_geometry_trend([(7, numbers_of(7, ("all",)))], [], {})
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert [line.get_marker() for line in axes.lines] == ["o"]
        assert axes.get_xlim()[1] > 7
