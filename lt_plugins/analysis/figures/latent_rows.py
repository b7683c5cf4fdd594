"""Latent rows: draws images with the weights and similarity maps of their latent categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lt_plugins.analysis.figures.picture import draw_picture
from lt_plugins.visualization.style import RUN_COLORS, clean, group_legend, shorten_lines

# Sizes in inches.
_IMAGE = 1.2
_GAP = 0.16
_TITLE_HEIGHT = 0.4
_BELOW_HEIGHT = 0.26
_BARS_WIDTH = 3.6
_TICKS_WIDTH = 0.75
_HEADING_HEIGHT = 0.35
_AXIS_HEIGHT = 0.3
_LEGEND_HEIGHT = 0.35
_PLAIN_COLOR = "0.75"
_OTHER_COLOR = "0.2"
_MAP_COLORS = "viridis"
_MAP_OPACITY = 0.5
# Smaller differences get no more height or colour than these, so that nothing looks like much.
_LEAST_DEVIATION = 0.01
_LEAST_MAP_SPAN = 0.05


class LatentRow(NamedTuple):
    """Image with the weights and similarity maps of its latent categories.

    Args:
        image (NDArray): RGB ``(H, W, 3)`` or grey ``(H, W)``, uint8.
        weights (NDArray): Weight of each latent category relative to even use, ``(M,)``; the mean is 1.
        maps (Mapping[int, NDArray]): Similarity maps ``(H', W')`` of the latent categories that are shown, from left to
            right.
        title (str): Written above the image, as a rule the class. Defaults to none.
        group (str | None): ``'many'``, ``'medium'`` or ``'few'``; the colour of the frame. Defaults to None.
    """

    image: NDArray[np.uint8]
    weights: NDArray[np.float32]
    maps: Mapping[int, NDArray[np.float32]]
    title: str = ""
    group: str | None = None


def draw_latent_rows(rows: Sequence[LatentRow], usual: NDArray[np.float32]) -> Figure:
    """Draw for each image the weights of all latent categories and the maps of some (Fig. 4 of the LCReg paper).

    The latent categories whose maps are shown have coloured bars, the same colour in all rows; those that most rows
    show come first, and the ones for which no colour is left are dark grey. All histograms have one scale; a map is
    coloured from its lowest to its highest similarity, which stand below it.

    Args:
        rows (Sequence[LatentRow]): The images, from top to bottom.
        usual (NDArray): Usual weight of each latent category relative to even use, ``(M,)``; marks in the histograms.
    """
    colors = _choose_colors(rows)
    num_maps = max((len(row.maps) for row in rows), default=0)
    found = {row.group for row in rows}
    bars_left = _GAP + _IMAGE + _TICKS_WIDTH
    maps_left = bars_left + _BARS_WIDTH + 2 * _GAP
    row_height = _TITLE_HEIGHT + _IMAGE + _BELOW_HEIGHT
    width = maps_left + num_maps * (_IMAGE + _GAP) + _GAP
    height = _HEADING_HEIGHT + len(rows) * row_height + _AXIS_HEIGHT + (_LEGEND_HEIGHT if found - {None} else 0)

    # Pictures share one pair of axes in inches from the upper left corner, which is much faster than a pair each.
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    headings = {bars_left: "weight relative to even use (black: usual)"}
    headings[maps_left] = "similarity maps" if num_maps else ""
    for left, heading in headings.items():
        axes.text(left, 0.14, heading, va="top", fontsize=10, color="0.25")
    weights = np.stack([usual, *(row.weights for row in rows)])
    deviation = max(_LEAST_DEVIATION, float(np.abs(weights - 1).max()))
    for index, row in enumerate(rows):
        upper = _HEADING_HEIGHT + index * row_height + _TITLE_HEIGHT
        box = draw_picture(axes, row.image, _GAP, upper, _IMAGE, row.group)
        title = shorten_lines(row.title)
        middle = _GAP + _IMAGE / 2
        axes.text(middle, box.y0 - 0.06, title, ha="center", va="bottom", fontsize=8, linespacing=1.05)
        bars = figure.add_axes((bars_left / width, 1 - (upper + _IMAGE) / height, _BARS_WIDTH / width, _IMAGE / height))
        _draw_bars(bars, row, usual, colors)
        bars.set_ylim(1 - 1.1 * deviation, 1 + 1.1 * deviation)
        if index == len(rows) - 1:
            bars.set_xlabel("latent category", fontsize=9)
        else:
            bars.tick_params(labelbottom=False)
        for column, latent in enumerate(row.maps):
            _draw_map(axes, row, latent, maps_left + column * (_IMAGE + _GAP), upper, colors[latent])
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    group_legend(figure, found)
    return figure


def _choose_colors(rows: Sequence[LatentRow]) -> dict[int, str]:
    """Colour of each latent category whose map is shown; those that most rows show get one that is their own."""
    shown = Counter(latent for row in rows for latent in row.maps)  # the first row's come first among equals
    own = zip((latent for latent, _ in shown.most_common()), RUN_COLORS[:-1], strict=False)  # the last is black
    return dict.fromkeys(shown, _OTHER_COLOR) | dict(own)


def _draw_bars(axes: Axes, row: LatentRow, usual: NDArray[np.float32], colors: Mapping[int, str]) -> None:
    """Bars up and down from even use."""
    latents = np.arange(len(row.weights))
    color = [colors[latent] if latent in row.maps else _PLAIN_COLOR for latent in latents.tolist()]
    axes.bar(latents, row.weights - 1, bottom=1, width=0.85, color=color, linewidth=0)
    axes.hlines(usual, latents - 0.42, latents + 0.42, color="black", linewidth=0.9)
    axes.axhline(1, color="0.4", linewidth=0.6)
    axes.set_xlim(-0.6, len(latents) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))  # even use, 1, is always among them
    axes.tick_params(labelsize=8)
    clean(axes)


def _draw_map(axes: Axes, row: LatentRow, latent: int, left: float, upper: float, color: str) -> None:
    """Draw into the square whose upper left corner is given, in inches."""
    grey = row.image if row.image.ndim == 2 else row.image.mean(axis=2).astype(np.uint8)
    box = draw_picture(axes, grey, left, upper, _IMAGE)
    values = row.maps[latent]
    lowest, highest = float(values.min()), float(values.max())
    axes.imshow(
        values,
        cmap=_MAP_COLORS,
        vmin=lowest,
        vmax=max(highest, lowest + _LEAST_MAP_SPAN),
        alpha=_MAP_OPACITY,
        interpolation="nearest",
        extent=(box.x0, box.x1, box.y1, box.y0),
    )
    middle = left + _IMAGE / 2
    axes.text(
        middle, box.y0 - 0.06, f"latent {latent}", ha="center", va="bottom", fontsize=8, color=color, weight="bold"
    )
    span = f"{lowest:.2f} to {highest:.2f}"
    axes.text(middle, box.y1 + 0.06, span, ha="center", va="top", fontsize=8, color="0.25")
