from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from lt_plugins.visualization import AttributeRow, MarkedImage, draw_attribute_grid, figure_to_png
from lt_plugins.visualization.style import GROUP_COLORS


def _marked(size: int = 32, place: tuple[int, int] = (0, 0), grid: int = 8, **settings: object) -> MarkedImage:
    image = np.random.default_rng(size).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return MarkedImage(image, place, (grid, grid), **settings)  # type: ignore[arg-type]


def _cell(axes: Axes, marked: MarkedImage) -> tuple[int, int]:
    """Row and column of the map around whose centre the mark lies."""
    (mark,) = [patch for patch in axes.patches if patch.get_gid() == "mark"]
    height, width = marked.image.shape[:2]
    box = mark.get_bbox()
    row = ((box.y0 + box.y1) / 2 + 0.5) / height * marked.grid[0] - 0.5
    column = ((box.x0 + box.x1) / 2 + 0.5) / width * marked.grid[1] - 0.5
    assert box.height >= height / marked.grid[0] and box.width >= width / marked.grid[1]
    assert box.height < 1.3 * height / marked.grid[0]
    assert (row, column) == (pytest.approx(round(row)), pytest.approx(round(column)))
    return round(row), round(column)


def _pixels(figure: Figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(figure_to_png(figure, dpi=100))).convert("RGB"))


@pytest.mark.parametrize(("size", "grid"), [(32, 8), (224, 7), (224, 14)])
def test_mark_is_the_cell_of_the_map(size: int, grid: int) -> None:
    places = [(0, 0), (grid - 1, 2), (3, grid - 1)]
    images = [_marked(size, place, grid) for place in places]
    figure = draw_attribute_grid([AttributeRow("attribute 3", images)])
    assert [_cell(axes, marked) for axes, marked in zip(figure.axes, images, strict=True)] == places


def test_mark_on_an_image_that_is_not_square() -> None:
    marked = MarkedImage(np.zeros((40, 80), np.uint8), (1, 5), (4, 8))
    figure = draw_attribute_grid([AttributeRow("grey", [marked])])
    assert _cell(figure.axes[0], marked) == (1, 5)


def test_pixels_and_mark_are_drawn_where_they_belong() -> None:
    """Red above blue, crisp to the border, and the mark in the lower right quarter alone."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4, :, 0] = 255
    image[4:, :, 2] = 255
    figure = draw_attribute_grid([AttributeRow("", [MarkedImage(image, (1, 1), (2, 2), group="few")])])
    pixels = _pixels(figure)
    height, width = pixels.shape[:2]
    box = figure.axes[0].get_position()

    def shown(row: float, column: float) -> str:
        """Colour at a relative place of the image."""
        y = height * (1 - box.y1 + row * box.height)
        x = width * (box.x0 + column * box.width)
        return to_hex(pixels[int(y), int(x)] / 255)

    assert {shown(0.05, 0.05), shown(0.46, 0.5), shown(0.05, 0.95)} == {"#ff0000"}
    assert {shown(0.55, 0.05), shown(0.55, 0.95), shown(0.75, 0.75), shown(0.95, 0.95)} == {"#0000ff"}
    assert shown(-0.015, 0.5) == GROUP_COLORS["few"].lower()
    yellow = (np.abs(pixels.astype(int) - (0xF0, 0xE4, 0x42)).max(axis=2) < 30).nonzero()
    assert yellow[0].min() > height * (1 - box.y1 + 0.45 * box.height)
    assert yellow[1].min() > width * (box.x0 + 0.45 * box.width)


def test_titles_scores_groups_and_query() -> None:
    query = _marked(title="rare\n3 images", group="few", score=0.5)
    rows = [
        AttributeRow("attribute 7\n2 classes", [_marked(title="head", group="many", score=0.876), _marked()], query),
        AttributeRow("attribute 9", [_marked(title="head", group="many")]),
    ]
    figure = draw_attribute_grid(rows, query_heading="class rare", heading="retrieved")
    texts = [text.get_text() for text in figure.texts]
    assert texts == ["class rare", "retrieved", "attribute 7\n2 classes", "attribute 9"]
    assert sorted(axes.get_title() for axes in figure.axes) == ["", "head", "head", "rare\n3 images"]
    assert sorted(axes.get_xlabel() for axes in figure.axes) == ["", "", "0.50", "0.88"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["many-shot class", "few-shot class"]
    by_title = {axes.get_title(): axes for axes in figure.axes}
    frames = {title: to_hex(axes.patches[-1].get_edgecolor()) for title, axes in by_title.items()}
    assert frames["rare\n3 images"] == GROUP_COLORS["few"].lower()
    assert frames["head"] == GROUP_COLORS["many"].lower()
    assert frames[""] not in {color.lower() for color in GROUP_COLORS.values()}
    # The query is left of everything, with a wider gap than between the others.
    lefts = sorted({round(axes.get_position().x0, 4) for axes in figure.axes})
    assert by_title["rare\n3 images"].get_position().x0 == pytest.approx(lefts[0], abs=1e-4)
    assert lefts[1] - lefts[0] > lefts[2] - lefts[1]


@pytest.mark.parametrize(("num_rows", "num_images", "with_query"), [(1, 1, True), (20, 5, False), (3, 12, True)])
def test_nothing_overlaps_or_leaves_the_figure(num_rows: int, num_images: int, with_query: bool) -> None:
    marked = _marked(title="a class with a very long name\n123,456 images", group="medium", score=0.1)
    row = AttributeRow("attribute 1023\n1,000 classes", [marked] * num_images, marked if with_query else None)
    figure = draw_attribute_grid([row] * num_rows, heading="retrieved images")
    figure.set_dpi(100)
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    boxes += [text.get_window_extent() for text in (*figure.texts, *figure.legends)]
    frame = figure.bbox
    for number, box in enumerate(boxes):
        assert box is not None
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        for other in boxes[:number]:
            overlap_x = min(box.x1, other.x1) - max(box.x0, other.x0)  # type: ignore[union-attr]
            overlap_y = min(box.y1, other.y1) - max(box.y0, other.y0)  # type: ignore[union-attr]
            assert min(overlap_x, overlap_y) <= 4, (num_rows, num_images)  # frames reach a little over their axes


def test_grid_without_rows() -> None:
    assert draw_attribute_grid([]).axes == []
