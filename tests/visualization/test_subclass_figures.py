from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from lt_plugins.analysis.figures import plot_subclass_distances, plot_subclass_sizes
from lt_plugins.visualization import figure_to_png, plot_embedding
from lt_plugins.visualization.style import GROUP_COLORS


def _assert_legend_is_beside(figure: Figure) -> None:
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes)
    assert figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1)


def test_distances() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(["few", "many", "medium"], [5, 40, 30])
    to_class, to_subclass = rng.uniform(0.5, 1.5, 75), rng.uniform(0, 0.6, 75)
    figure = plot_subclass_distances(to_class, to_subclass, groups)
    (axes,) = figure.axes
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert ticks == ["many-shot\n40 images", "medium-shot\n30 images", "few-shot\n5 images"]
    means = [float(np.mean(values[groups == group])) for group in GROUP_COLORS for values in (to_class, to_subclass)]
    dots = np.stack([np.asarray(line.get_xydata())[0] for line in axes.lines])
    np.testing.assert_allclose(dots[:, 1], means)
    assert [text.get_text() for text in axes.texts] == [f"{mean:.2f}" for mean in means]
    assert (np.diff(dots[:, 0]) > 0).all() and dots[:, 0].round().tolist() == [0, 0, 1, 1, 2, 2]
    assert axes.get_ylim()[0] == 0 and axes.get_ylim()[1] > to_class.max()
    _assert_legend_is_beside(figure)


@pytest.mark.parametrize("values", [[0.4], [0.0, 0.0], [0.3, 0.3, 0.3]])
def test_distances_of_few_or_equal_images(values: list[float]) -> None:
    distances = np.array(values)
    figure = plot_subclass_distances(distances, distances, np.array(["few"] * len(values)))
    assert [text.get_text() for text in figure.axes[0].texts] == [f"{values[0]:.2f}"] * 2
    _assert_legend_is_beside(figure)
    assert len(figure_to_png(figure, 40)) > 1000


def _bars(axes: Axes) -> list[tuple[float, float, float, bool]]:
    """Place, lower and upper end of each bar, and whether it is hatched."""
    bars = [(bar.get_bbox(), bar) for bar in axes.patches if isinstance(bar, Rectangle) and bar.get_height() > 0]
    return [(round((box.x0 + box.x1) / 2, 6), box.y0, box.y1, bool(bar.get_hatch())) for box, bar in bars]


def test_sizes_one_by_one() -> None:
    sizes = np.array([10, 10, 9, 4, 4, 4, 30, 10])
    is_part = np.array([True, True, True, True, False, False, False, True])
    groups = np.array(["many", "many", "many", "few", "few", "few", "medium", "medium"])
    figure = plot_subclass_sizes(sizes, is_part, groups)
    many, medium, few = figure.axes
    assert _bars(many) == [(9, 0, 1, False), (10, 0, 2, False)]
    assert _bars(medium) == [(10, 0, 1, False), (30, 0, 1, True)]
    assert _bars(few) == [(4, 0, 1, False), (4, 1, 3, True)]
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "many-shot: 3 parts of 9 to 10 images",
        "medium-shot: 1 part of 10 images, 1 whole class of 30 images",
        "few-shot: 1 part of 4 images, 2 whole classes of 4 images",
    ]
    for axes, color in zip(figure.axes, GROUP_COLORS.values(), strict=True):
        assert {to_hex(bar.get_edgecolor()) for bar in axes.patches} == {color.lower()}
        assert axes.get_ylim()[1] > max(upper for _, _, upper, _ in _bars(axes))
    _assert_legend_is_beside(figure)


def test_many_sizes_are_binned_and_none_is_lost() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.geometric(0.02, 500)
    is_part = np.arange(500) < 300
    figure = plot_subclass_sizes(sizes, is_part, np.full(500, "many"))
    (axes,) = figure.axes
    bars = _bars(axes)
    assert len(bars) <= 120
    assert sum(upper - lower for _, lower, upper, hatched in bars if hatched) == 200
    assert sum(upper - lower for _, lower, upper, hatched in bars if not hatched) == 300
    assert axes.get_xlim()[1] > sizes.max()


def test_labels_count_the_subclasses() -> None:
    sizes = np.array([3, 3, 5])
    figure = plot_subclass_sizes(sizes, np.array([True, False, True]), np.full(3, "few"))
    assert [text.get_text() for text in figure.axes[0].texts] == ["2", "1"]


def _points(figure: Figure) -> list[tuple[str, NDArray[np.float64], str, tuple]]:
    """Label, places, colour and marker of each group."""
    scatters = [item for item in figure.axes[0].collections if isinstance(item, PathCollection)]
    return [
        (
            str(item.get_label()),
            np.asarray(item.get_offsets()),
            to_hex(np.asarray(item.get_facecolor())[0]),
            tuple(item.get_paths()[0].vertices.ravel()),  # type: ignore[union-attr]
        )
        for item in scatters
    ]


def test_embedding_with_a_legend() -> None:
    rng = np.random.default_rng(0)
    points, groups = rng.normal(size=(60, 2)).astype(np.float32), np.arange(60) % 10
    names = [f"class with a very long name, number {group}" for group in range(10)]
    figure = plot_embedding(points, groups, names, "ten classes")
    drawn = _points(figure)
    for group, (label, places, _, _) in enumerate(drawn):
        np.testing.assert_allclose(places, points[groups == group])
        assert label[:5] == "class" and label[-1] == str(group)
    (axes,) = figure.axes
    assert axes.get_title() == "ten classes" and axes.get_aspect() == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [label for label, *_ in drawn]
    _assert_legend_is_beside(figure)


def test_embedding_of_more_groups_than_a_legend_holds() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(49), rng.integers(1, 6, 49))
    points = rng.normal(size=(len(groups), 2)).astype(np.float32)
    figure = plot_embedding(points, groups, [f"subclass {group}" for group in range(50)], "a head class")
    drawn = _points(figure)
    assert not figure.legends
    assert Counter((color, marker) for _, _, color, marker in drawn[:49]).most_common(1)[0][1] == 1
    ties = [item for item in figure.axes[0].collections if isinstance(item, LineCollection)]
    assert len(ties) == 49
    for group, tie in enumerate(ties):
        members = points[groups == group]
        segments = np.stack(tie.get_segments())
        np.testing.assert_allclose(segments[:, 0], np.broadcast_to(members.mean(axis=0), members.shape), rtol=1e-5)
        np.testing.assert_allclose(segments[:, 1], members)
