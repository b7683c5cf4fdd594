"""Images that show the same pseudo-attribute, each with the patch that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

from .style import GROUP_COLORS, shorten

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
# Smaller images are enlarged pixel by pixel, larger ones are smoothed when they shrink.
_CRISP_PIXELS = 96
_MARK_COLOR = "#F0E442"
# Share of the image.
_MARK_PAD = 0.008


class MarkedImage(NamedTuple):
    """An image and the place of its feature map that is marked.

    Args:
        image (NDArray): RGB ``(H, W, 3)`` or grey ``(H, W)``, uint8.
        place (tuple[int, int]): Row and column in the feature map.
        grid (tuple[int, int]): Height and width of the feature map.
        title (str): Written above, as a rule the class. Defaults to none.
        group (str | None): ``'many'``, ``'medium'`` or ``'few'``; the colour of the frame. Defaults to None.
        score (float | None): Written below. Defaults to None.
    """

    image: NDArray[np.uint8]
    place: tuple[int, int]
    grid: tuple[int, int]
    title: str = ""
    group: str | None = None
    score: float | None = None


class AttributeRow(NamedTuple):
    """A row of the grid.

    Args:
        title (str): Written to the left; may have several lines.
        images (Sequence[MarkedImage]): From left to right; rows may differ in length.
        query (MarkedImage | None): Shown first and set apart. Defaults to None.
    """

    title: str
    images: Sequence[MarkedImage]
    query: MarkedImage | None = None


def draw_attribute_grid(rows: Sequence[AttributeRow], query_heading: str = "query", heading: str = "") -> Figure:
    """Draw one row of marked images for each pseudo-attribute (Fig. 3 of the LPA paper).

    The mark is the cell of the feature map. What the feature has seen, its receptive field, is larger.

    Args:
        rows (Sequence[AttributeRow]): The rows; if any has a query, all get a column for it.
        query_heading (str): Written above the queries. Defaults to ``"query"``.
        heading (str): Written above the other images. Defaults to none.
    """
    has_query = any(row.query is not None for row in rows)
    num_columns = max((len(row.images) for row in rows), default=0)
    groups = {marked.group for row in rows for marked in (*row.images, row.query) if marked is not None}
    first_column = _ROW_TITLE_WIDTH + (_IMAGE + _QUERY_GAP if has_query else 0)
    row_height = _TITLE_HEIGHT + _IMAGE + _SCORE_HEIGHT
    top = _HEADING_HEIGHT if heading or has_query else _GAP
    width = max(first_column + num_columns * (_IMAGE + _GAP) + _GAP, _MIN_WIDTH)
    height = top + len(rows) * row_height + (_LEGEND_HEIGHT if groups & GROUP_COLORS.keys() else _GAP)
    figure = Figure(figsize=(width, height))

    def write(left: float, upper: float, text: str, **style: str | float) -> None:
        figure.text(left / width, 1 - upper / height, text, **style)  # type: ignore[arg-type]

    if has_query:
        write(_ROW_TITLE_WIDTH, 0.12, query_heading, va="top", fontsize=10, color="0.25")
    if heading:
        write(first_column, 0.12, heading, va="top", fontsize=10, color="0.25")
    for index, row in enumerate(rows):
        upper = top + index * row_height + _TITLE_HEIGHT
        write(_GAP, upper + _IMAGE / 2, _shorten_lines(row.title), va="center", fontsize=9.5)
        lefts = [first_column + column * (_IMAGE + _GAP) for column in range(len(row.images))]
        placed = list(zip(lefts, row.images, strict=True))
        if row.query is not None:
            placed.append((_ROW_TITLE_WIDTH, row.query))
        for left, marked in placed:
            bounds = (left / width, 1 - (upper + _IMAGE) / height, _IMAGE / width, _IMAGE / height)
            _draw_marked_image(figure.add_axes(bounds), marked)
    handles = [
        Patch(color=color, label=f"{group}-shot class") for group, color in GROUP_COLORS.items() if group in groups
    ]
    if handles:
        figure.legend(handles=handles, loc="lower left", ncols=3, frameon=False, fontsize=9)
    return figure


def _draw_marked_image(axes: Axes, marked: MarkedImage) -> None:
    height, width = marked.image.shape[:2]
    interpolation = "nearest" if max(height, width) <= _CRISP_PIXELS else "antialiased"
    axes.imshow(marked.image, cmap="gray", vmin=0, vmax=255, interpolation=interpolation)
    cell_height, cell_width = height / marked.grid[0], width / marked.grid[1]
    # The line runs just outside of the cell, so that it hides nothing of it.
    pad_y, pad_x = _MARK_PAD * height, _MARK_PAD * width
    mark = Rectangle(
        (marked.place[1] * cell_width - 0.5 - pad_x, marked.place[0] * cell_height - 0.5 - pad_y),
        cell_width + 2 * pad_x,
        cell_height + 2 * pad_y,
        fill=False,
        edgecolor=_MARK_COLOR,
        linewidth=1.3,
        clip_on=False,
        zorder=4,
        gid="mark",
    )
    # A dark rim keeps the mark visible on a bright image.
    mark.set_path_effects([Stroke(linewidth=2.8, foreground="black"), Normal()])
    axes.add_patch(mark)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    # Around the image, not over its border.
    frame = Rectangle((-0.015, -0.015), 1.03, 1.03, transform=axes.transAxes, fill=False, clip_on=False)
    frame.set(edgecolor=GROUP_COLORS.get(marked.group or "", "0.75"), linewidth=2.4 if marked.group else 0.8)
    axes.add_patch(frame)
    axes.set_title(_shorten_lines(marked.title), fontsize=8, pad=5, linespacing=1.05)
    if marked.score is not None:
        axes.set_xlabel(f"{marked.score:.2f}", fontsize=8, labelpad=4, color="0.25")


def _shorten_lines(text: str) -> str:
    return "\n".join(shorten(line) for line in text.splitlines())
