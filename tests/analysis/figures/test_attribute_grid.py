from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from lt_plugins.analysis.figures import AttributeRow, MarkedImage, draw_attribute_grid
from lt_plugins.visualization import figure_to_png
from lt_plugins.visualization.style import GROUP_COLORS
from tests.visualization.layout import assert_apart


def _marked(size: int = 32, location: tuple[int, int] = (0, 0), grid: int = 8, **settings: object) -> MarkedImage:
    image = np.random.default_rng(size).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return MarkedImage(image, location, (grid, grid), **settings)  # type: ignore[arg-type]


def _boxes(figure: Figure, gid: str) -> list[Bbox]:
    """Frames (of images) or marks, row by row, the query first, in inches from the upper left corner."""
    (axes,) = figure.axes
    return [patch.get_bbox() for patch in axes.patches if patch.get_gid() == gid]  # type: ignore[attr-defined]


def _images(figure: Figure) -> list[Bbox]:
    """The images themselves, in the same order."""
    return [Bbox.from_extents(*np.array(image.get_extent())[[0, 3, 1, 2]]) for image in figure.axes[0].images]


def _cells(figure: Figure, grid: tuple[int, int]) -> list[tuple[int, int]]:
    """Row and column of the map around whose centre each mark lies."""
    cells = []
    for image, mark in zip(_images(figure), _boxes(figure, "mark"), strict=True):
        cell_height, cell_width = image.height / grid[0], image.width / grid[1]
        assert cell_height < mark.height < cell_height + 0.03 and cell_width < mark.width < cell_width + 0.03
        row = ((mark.y0 + mark.y1) / 2 - image.y0) / cell_height - 0.5
        column = ((mark.x0 + mark.x1) / 2 - image.x0) / cell_width - 0.5
        assert (row, column) == (pytest.approx(round(row), abs=1e-6), pytest.approx(round(column), abs=1e-6))
        cells.append((round(row), round(column)))
    return cells


def _pixels(figure: Figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(figure_to_png(figure, dpi=100))).convert("RGB"))


@pytest.mark.parametrize(("size", "grid"), [(32, 8), (224, 7), (224, 14)])
def test_mark_is_the_cell_of_the_map(size: int, grid: int) -> None:
    locations = [(0, 0), (grid - 1, 2), (3, grid - 1)]
    images = [_marked(size, location, grid) for location in locations]
    figure = draw_attribute_grid([AttributeRow("attribute 3", images)])
    assert _cells(figure, (grid, grid)) == locations


def test_mark_on_an_image_that_is_not_square() -> None:
    marked = MarkedImage(np.zeros((40, 80), np.uint8), (1, 5), (4, 8))
    figure = draw_attribute_grid([AttributeRow("grey", [marked])])
    assert _cells(figure, (4, 8)) == [(1, 5)]
    (image,) = _images(figure)
    assert image.width == pytest.approx(2 * image.height)


def test_pixels_and_mark_are_drawn_where_they_belong() -> None:
    """Red above blue, crisp to the border, and the mark in the lower right quarter alone."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4, :, 0] = 255
    image[4:, :, 2] = 255
    figure = draw_attribute_grid([AttributeRow("", [MarkedImage(image, (1, 1), (2, 2), group="few")])])
    pixels = _pixels(figure)
    (box,) = _images(figure)

    def shown(row: float, column: float) -> str:
        """Colour at a relative position in the image."""
        y, x = box.y0 + row * box.height, box.x0 + column * box.width
        return to_hex(pixels[int(100 * y), int(100 * x)] / 255)

    assert {shown(0.05, 0.05), shown(0.46, 0.5), shown(0.05, 0.95)} == {"#ff0000"}
    assert {shown(0.55, 0.05), shown(0.55, 0.95), shown(0.75, 0.75), shown(0.95, 0.95)} == {"#0000ff"}
    assert shown(-0.015, 0.5) == GROUP_COLORS["few"].lower()
    yellow = (np.abs(pixels.astype(int) - (0xF0, 0xE4, 0x42)).max(axis=2) < 30).nonzero()
    assert yellow[0].min() > 100 * (box.y0 + 0.45 * box.height)
    assert yellow[1].min() > 100 * (box.x0 + 0.45 * box.width)


def test_titles_scores_groups_and_query() -> None:
    query = _marked(title="rare\n3 images", group="few", score=0.5)
    rows = [
        AttributeRow("attribute 7\n2 classes", [_marked(title="head", group="many", score=0.876), _marked()], query),
        AttributeRow("attribute 9", [_marked(title="head", group="many")]),
    ]
    figure = draw_attribute_grid(rows, query_heading="class rare", heading="retrieved")
    texts = sorted(text.get_text() for text in figure.axes[0].texts if text.get_text())
    expected = ["class rare", "retrieved", "attribute 7\n2 classes", "attribute 9", "rare\n3 images", "0.50"]
    assert texts == sorted([*expected, "head", "head", "0.88"])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["many-shot class", "few-shot class"]
    frames = [patch for patch in figure.axes[0].patches if patch.get_gid() == "frame"]
    colors = [to_hex(frame.get_edgecolor()).upper() for frame in frames]
    assert colors[0] == GROUP_COLORS["few"]
    assert colors[1] == colors[3] == GROUP_COLORS["many"]
    assert colors[2] not in GROUP_COLORS.values()
    # The query has a wider gap to the others than they have between them.
    query_box, first, second, other_row = _images(figure)
    assert first.x0 == other_row.x0
    assert first.x0 - query_box.x1 > second.x0 - first.x1 > 0


@pytest.mark.parametrize(("num_rows", "num_images", "with_query"), [(1, 1, True), (20, 5, False), (3, 12, True)])
def test_nothing_overlaps_or_leaves_the_figure(num_rows: int, num_images: int, with_query: bool) -> None:
    marked = _marked(title="a class with a very long name\n123,456 images", group="medium", score=0.1)
    row = AttributeRow("attribute 1023\n1,000 classes", [marked] * num_images, marked if with_query else None)
    figure = draw_attribute_grid([row] * num_rows, heading="retrieved images")
    figure.set_dpi(100)
    figure.draw_without_rendering()
    boxes = [figure.axes[0].transData.transform_bbox(box) for box in _boxes(figure, "frame")]
    boxes += [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    assert_apart(figure, boxes)


def test_grid_without_rows() -> None:
    assert _images(draw_attribute_grid([])) == []
