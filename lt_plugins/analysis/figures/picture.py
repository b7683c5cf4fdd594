"""Picture: draws an image in axes whose unit is the inch, framed in the colour of its class's group."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from lt_plugins.visualization.style import GROUP_COLORS

# Smaller images are enlarged pixel by pixel, larger ones are smoothed when they shrink.
_CRISP_PIXELS = 96


def draw_picture(
    axes: Axes, image: NDArray[np.uint8], left: float, upper: float, size: float, group: str | None = None
) -> Bbox:
    """Draw an image into the middle of a square.

    Args:
        axes (Axes): Where; the y axis points down.
        image (NDArray): RGB ``(H, W, 3)`` or grey ``(H, W)``, uint8.
        left (float): Left edge of the square.
        upper (float): Upper edge of the square.
        size (float): Side of the square.
        group (str | None): ``'many'``, ``'medium'`` or ``'few'``; the colour of the frame. Defaults to None.

    Returns:
        Bbox: Where the image lies.
    """
    height, width = image.shape[:2]
    shown_height, shown_width = size * height / max(height, width), size * width / max(height, width)
    left, upper = left + (size - shown_width) / 2, upper + (size - shown_height) / 2
    box = Bbox.from_bounds(left, upper, shown_width, shown_height)
    axes.imshow(
        image,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest" if max(height, width) <= _CRISP_PIXELS else "antialiased",
        extent=(box.x0, box.x1, box.y1, box.y0),
    )
    # Around the image, not over its border.
    frame = outline(box, pad=0.018)
    frame.set(gid="frame", edgecolor=GROUP_COLORS.get(group or "", "0.75"), linewidth=2.4 if group else 0.8)
    axes.add_patch(frame)
    return box


def outline(box: Bbox, pad: float) -> Rectangle:
    """Rectangle around a box.

    Args:
        box (Bbox): The box.
        pad (float): Distance of the line to it.
    """
    return Rectangle((box.x0 - pad, box.y0 - pad), box.width + 2 * pad, box.height + 2 * pad, fill=False)
