from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from lt_plugins.analysis.figures import LatentRow, draw_latent_rows, plot_latent_usage
from lt_plugins.analysis.figures.latent_usage import order_latents
from lt_plugins.visualization import figure_to_png
from lt_plugins.visualization.style import GROUP_COLORS, RUN_COLORS
from tests.visualization.layout import assert_apart
from tests.visualization.test_figures import SIZES, Problem, assert_no_overlap, visible_labels


def _row(shown: list[int], num_latents: int = 12, seed: int = 0, **settings: str) -> LatentRow:
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.7, 1.3, num_latents).astype(np.float32)
    maps = {latent: rng.uniform(0, 1, (4, 4)).astype(np.float32) for latent in shown}
    return LatentRow(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), weights, maps, **settings)


def _array(image: AxesImage) -> NDArray[Any]:
    return np.ma.filled(np.ma.asarray(image.get_array()).astype(np.float64), np.nan)


def _bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_bars_are_the_weights_and_marks_what_is_usual() -> None:
    rows = [_row([3, 1], seed=0), _row([], seed=1)]
    usual = np.linspace(0.9, 1.1, 12, dtype=np.float32)
    figure = draw_latent_rows(rows, usual)
    _, *histograms = figure.axes
    assert [axes.xaxis.get_tick_params()["labelbottom"] for axes in histograms] == [False, True]
    for axes, row in zip(histograms, rows, strict=True):
        bars = _bars(axes)
        assert [bar.get_y() for bar in bars] == [1] * 12
        np.testing.assert_allclose([1 + bar.get_height() for bar in bars], row.weights, rtol=1e-6)
        np.testing.assert_allclose([bar.get_x() + bar.get_width() / 2 for bar in bars], range(12), atol=1e-9)
        (marks,) = axes.collections
        middles = np.array([np.asarray(path.vertices)[:, 1].mean() for path in marks.get_paths()])
        np.testing.assert_allclose(middles, usual.astype(np.float64), rtol=1e-6)
        colored = [index for index, bar in enumerate(bars) if to_hex(bar.get_facecolor()) != "#bfbfbf"]
        assert colored == sorted(row.maps)
        assert axes.get_ylim() == histograms[0].get_ylim()
        assert np.isclose(axes.get_yticks(), 1).any()
        assert axes.get_ylim()[0] < min(row.weights) and max(row.weights) < axes.get_ylim()[1]


def test_small_differences_stay_small() -> None:
    row = _row([2])._replace(weights=1 + np.linspace(-1e-4, 1e-4, 12, dtype=np.float32))
    row = row._replace(maps={2: np.linspace(0, 1e-3, 16, dtype=np.float32).reshape(4, 4)})
    figure = draw_latent_rows([row], np.ones(12, np.float32))
    assert figure.axes[1].get_ylim() == (pytest.approx(0.989), pytest.approx(1.011))
    shown = figure.axes[0].images[-1]
    colors = np.asarray(shown.to_rgba(_array(shown)))
    assert np.ptp(colors[..., :3].reshape(-1, 3), axis=0).max() < 0.05
    usage = np.ones((10, 12), np.float32) + np.linspace(0, 1e-4, 12, dtype=np.float32)
    (image,) = plot_latent_usage(usage, np.arange(10), list("abcdefghij")).axes[1].images
    assert (image.norm.vmin, image.norm.vmax) == (0.99, 1.01)


def test_a_latent_category_has_one_colour_and_shared_ones_come_first() -> None:
    """Nine latent categories for six colours: 8 and 9 are shown twice, and three have to be grey."""
    rows = [_row([0, 1, 2]), _row([3, 4, 5]), _row([6, 8, 9]), _row([9, 8])]
    figure = draw_latent_rows(rows, np.ones(12, np.float32))
    pictures, *histograms = figure.axes
    bars: dict[int, set[str]] = {}
    for axes, row in zip(histograms, rows, strict=True):
        for latent in row.maps:
            bars.setdefault(latent, set()).add(to_hex(_bars(axes)[latent].get_facecolor()).upper())
    titles = {text.get_text(): to_hex(text.get_color()).upper() for text in pictures.texts}
    assert all(bars[latent] == {titles[f"latent {latent}"]} for latent in bars)
    own = {latent: color for latent, (color,) in bars.items() if color in RUN_COLORS}
    assert {8, 9} <= own.keys() and len(own) == len(set(own.values())) == 6
    assert len({color for latent, (color,) in bars.items() if latent not in own}) == 1


def test_maps_lie_over_the_image_in_their_place() -> None:
    row = _row([7, 2], title="truck\n50 images", group="medium")
    tall = row._replace(image=np.zeros((64, 32), np.uint8), group=None)
    figure = draw_latent_rows([row, tall], np.ones(12, np.float32))
    pictures = figure.axes[0]
    images = pictures.images  # the image; below each map the grey image again
    assert len(images) == 2 * (1 + 2 * 2)
    for grey, shown in ((images[1], images[2]), (images[3], images[4]), (images[6], images[7])):
        assert grey.get_extent() == shown.get_extent() and _array(grey).ndim == 2
        alpha = shown.get_alpha()
        assert shown.get_zorder() == grey.get_zorder() and alpha is not None and 0 < alpha < 1
    for latent, shown in zip([7, 2, 7, 2], (images[2], images[4], images[7], images[9]), strict=True):
        np.testing.assert_array_equal(_array(shown), row.maps[latent])
    assert images[2].get_extent()[0] < images[4].get_extent()[0]
    left, right, lower, upper = images[7].get_extent()
    assert lower - upper == pytest.approx(2 * (right - left))
    texts = [text.get_text() for text in pictures.texts]
    for latent in (7, 2):
        assert texts.count(f"latent {latent}") == 2
        assert f"{row.maps[latent].min():.2f} to {row.maps[latent].max():.2f}" in texts
    frames = [to_hex(patch.get_edgecolor()).upper() for patch in pictures.patches]
    assert frames[0] == GROUP_COLORS["medium"] and set(frames[1:]).isdisjoint(GROUP_COLORS.values())
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["medium-shot class"]


@pytest.mark.parametrize(("num_rows", "num_maps", "num_latents"), [(1, 0, 3), (1, 1, 5), (8, 3, 40), (2, 3, 200)])
def test_nothing_overlaps_or_leaves_the_figure(num_rows: int, num_maps: int, num_latents: int) -> None:
    title = "a class with a very long name\n123,456 images"
    shown = [num_latents - 1 - index for index in range(num_maps)]
    row = _row(shown, num_latents, title=title, group="few")
    figure = draw_latent_rows([row] * num_rows, np.ones(num_latents, np.float32))
    figure.set_dpi(100)
    figure.draw_without_rendering()
    pictures, *histograms = figure.axes
    boxes = [pictures.transData.transform_bbox(patch.get_bbox()) for patch in _bars(pictures)]
    boxes += [text.get_window_extent() for text in pictures.texts if text.get_text()]
    boxes += [axes.get_tightbbox() for axes in histograms]  # type: ignore[misc]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    assert_apart(figure, boxes)
    for axes in histograms:
        assert len([label for label in axes.get_yticklabels() if label.get_text()]) >= 2
    assert_no_overlap([label for label in histograms[-1].get_xticklabels() if label.get_text()])


def _usage(num_classes: int, num_latents: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0.8, 1.2, (num_classes, num_latents)).astype(np.float32)


@pytest.mark.parametrize("num_classes", SIZES[::2])
def test_usage_cells(num_classes: int) -> None:
    problem = Problem(num_classes)
    usage = _usage(num_classes, 20)
    usage[3] = np.nan
    figure = plot_latent_usage(usage, problem.counts, problem.names, problem.groups)
    sizes, cells, colorbar = figure.axes
    order = np.argsort(-problem.counts, kind="stable")
    latents = order_latents(usage[order])
    blocks = min(num_classes, 200)
    members: list[list[int]] = [[] for _ in range(blocks)]
    for rank, label in enumerate(order):
        if label != 3:
            members[rank * blocks // num_classes].append(label)
    expected = np.array([[np.mean(usage[own, latent]) if own else np.nan for own in members] for latent in latents])
    (image,) = cells.images
    np.testing.assert_allclose(_array(image), expected, rtol=1e-5)
    assert image.norm(np.ones(1)) == pytest.approx(0.5)
    assert 1 - image.norm.vmin == pytest.approx(np.nanmax(np.abs(expected - 1)), rel=1e-4)  # type: ignore[operator]
    assert image.get_extent() == [-0.5, num_classes - 0.5, 19.5, -0.5]
    assert [label.get_text() for label in cells.get_yticklabels()] == [str(latent) for latent in latents]
    boundaries = np.flatnonzero(problem.groups[order][1:] != problem.groups[order][:-1]) + 0.5
    assert [line.get_xdata()[0] for line in cells.lines] == boundaries.tolist()  # type: ignore[index]
    assert [text.get_text() for text in sizes.texts] == ["many", "medium", "few"]
    figure.draw_without_rendering()
    assert cells.get_window_extent().x1 == pytest.approx(sizes.get_window_extent().x1)
    assert_no_overlap([label for label in cells.get_xticklabels() if label.get_text()])
    assert_no_overlap([label for label in cells.get_yticklabels() if label.get_text()])
    assert 1.0 in colorbar.get_yticks()
    assert len(figure_to_png(figure, 40)) > 1000


def test_usage_without_groups_or_room_for_the_numbers() -> None:
    figure = plot_latent_usage(_usage(10, 200), np.arange(10), [f"class {index}" for index in range(10)])
    assert not figure.axes[1].lines and not figure.axes[0].texts
    assert figure.axes[1].get_ylabel() == "rank of latent category"
    figure.draw_without_rendering()
    labels = [axes.yaxis.label.get_window_extent() for axes in figure.axes[:2]]
    assert all(figure.bbox.y0 <= label.y0 and label.y1 <= figure.bbox.y1 for label in labels)
    assert labels[1].y1 < labels[0].y0
    assert_no_overlap(visible_labels(figure, "y"))


def test_order_groups_what_the_same_classes_use() -> None:
    """Latents 1, 3 and 4 are used by the even classes, 0 and 2 by the odd ones, at other levels and gains."""
    even = np.arange(8) % 2 == 0
    usage = np.stack([1.2 - 0.1 * even, 0.7 + 0.2 * even, 1 - 0.05 * even, 1.1 + 0.1 * even, 0.9 + 0.3 * even], axis=1)
    usage = np.concatenate([usage[:3], np.full((1, 5), np.nan), usage[3:]]).astype(np.float32)
    assert order_latents(usage).tolist() == [4, 1, 3, 2, 0]
    assert order_latents(np.ones((4, 3), np.float32)).tolist() == [0, 1, 2]
