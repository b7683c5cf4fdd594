"""Attribute grid: draws rows of images, each with a marked location of its feature map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from lt_plugins.analysis.figures.picture import draw_picture, outline
from lt_plugins.visualization.style import group_legend, shorten_lines

# Sizes in inches.
_IMAGE = 1.2
_GAP = 0.16
_TITLE_HEIGHT = 0.4
_SCORE_HEIGHT = 0.24
_ROW_TITLE_WIDTH = 1.4
_QUERY_GAP = 0.45
_LEGEND_HEIGHT = 0.35
_HEADING_HEIGHT = 0.3
_MIN_WIDTH = 5.0  # the legend fits
_MARK_COLOR = "#F0E442"
_MARK_PAD = 0.01


class MarkedImage(NamedTuple):
    """Image with a marked location of its feature map.

    Args:
        image (NDArray): RGB ``(H, W, 3)`` or grey ``(H, W)``, uint8.
        location (tuple[int, int] | None): Row and column in the feature map; None for no mark.
        grid (tuple[int, int]): Height and width of the feature map.
        title (str): Written above, as a rule the class. Defaults to none.
        group (str | None): ``'many'``, ``'medium'`` or ``'few'``; the colour of the frame. Defaults to None.
        score (float | None): Written below. Defaults to None.
    """

    image: NDArray[np.uint8]
    location: tuple[int, int] | None
    grid: tuple[int, int]
    title: str = ""
    group: str | None = None
    score: float | None = None


class AttributeRow(NamedTuple):
    """Row of the attribute grid.

    Args:
        title (str): Written to the left; may have several lines.
        images (Sequence[MarkedImage]): From left to right; rows may differ in length.
        query (MarkedImage | None): Shown first and set apart. Defaults to None.
    """

    title: str
    images: Sequence[MarkedImage]
    query: MarkedImage | None = None


def draw_attribute_grid(rows: Sequence[AttributeRow], query_heading: str = "query", heading: str = "") -> Figure:
    """Draw one row of marked images for each pseudo-attribute (Fig. 3 of the LPA paper) or latent category.

    The mark is the cell of the feature map. What the feature has seen, its receptive field, is larger.

    Args:
        rows (Sequence[AttributeRow]): The rows; if any has a query, all get a column for it.
        query_heading (str): Written above the queries. Defaults to ``"query"``.
        heading (str): Written above the other images. Defaults to none.
    """
    has_query = any(row.query is not None for row in rows)
    num_columns = max((len(row.images) for row in rows), default=0)
    found = {marked.group for row in rows for marked in (*row.images, row.query) if marked is not None}
    first_column = _ROW_TITLE_WIDTH + (_IMAGE + _QUERY_GAP if has_query else 0)
    row_height = _TITLE_HEIGHT + _IMAGE + _SCORE_HEIGHT
    top = _HEADING_HEIGHT if heading or has_query else _GAP
    width = max(first_column + num_columns * (_IMAGE + _GAP) + _GAP, _MIN_WIDTH)
    height = top + len(rows) * row_height + (_LEGEND_HEIGHT if found - {None} else _GAP)

    # One pair of axes in inches from the upper left corner: a pair for each image would take many times as long.
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for left, text in ((_ROW_TITLE_WIDTH, query_heading if has_query else ""), (first_column, heading)):
        axes.text(left, 0.12, text, va="top", fontsize=10, color="0.25")
    for index, row in enumerate(rows):
        upper = top + index * row_height + _TITLE_HEIGHT
        axes.text(_GAP, upper + _IMAGE / 2, shorten_lines(row.title), va="center", fontsize=9.5)
        if row.query is not None:
            _draw_marked_image(axes, row.query, _ROW_TITLE_WIDTH, upper)
        for column, marked in enumerate(row.images):
            _draw_marked_image(axes, marked, first_column + column * (_IMAGE + _GAP), upper)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    group_legend(figure, found)
    return figure


def _draw_marked_image(axes: Axes, marked: MarkedImage, left: float, upper: float) -> None:
    """Draw into the square whose upper left corner is given, in inches."""
    box = draw_picture(axes, marked.image, left, upper, _IMAGE, marked.group)
    if marked.location is not None:
        _draw_mark(axes, box, marked.location, marked.grid)
    middle = left + _IMAGE / 2
    title = shorten_lines(marked.title)
    axes.text(middle, box.y0 - 0.06, title, ha="center", va="bottom", fontsize=8, linespacing=1.05)
    if marked.score is not None:
        axes.text(middle, box.y1 + 0.06, f"{marked.score:.2f}", ha="center", va="top", fontsize=8, color="0.25")


def _draw_mark(axes: Axes, box: Bbox, location: tuple[int, int], grid: tuple[int, int]) -> None:
    """Draw a frame around a cell of the feature map."""
    # The line runs just outside of the cell, so that it hides nothing of it.
    cell_width, cell_height = box.width / grid[1], box.height / grid[0]
    row, column = location
    cell = Bbox.from_bounds(box.x0 + column * cell_width, box.y0 + row * cell_height, cell_width, cell_height)
    mark = outline(cell, pad=_MARK_PAD)
    # A dark rim keeps the mark visible on a bright image.
    mark.set(
        gid="mark",
        edgecolor=_MARK_COLOR,
        linewidth=1.3,
        path_effects=[Stroke(linewidth=2.8, foreground="black"), Normal()],
    )
    axes.add_patch(mark)
