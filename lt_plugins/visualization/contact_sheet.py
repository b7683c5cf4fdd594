"""Contact sheet: puts small pictures in titled rows, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lt_plugins.visualization.fonts import picture_font

_TITLE_HEIGHT = 22
_GAP = 4


class SheetRow(NamedTuple):
    """Row of a contact sheet.

    Args:
        title (str): Written above it.
        images (Sequence[NDArray]): RGB ``(H, W, 3)`` uint8 pictures, of any sizes.
    """

    title: str
    images: Sequence[NDArray[np.uint8]]


def draw_contact_sheet(rows: Sequence[SheetRow], side: int = 72) -> NDArray[np.uint8]:
    """Draw rows of pictures, each fitted into a square.

    Args:
        rows (Sequence[SheetRow]): The rows, from top to bottom.
        side (int): Height and width of the squares in pixels. Defaults to 72.

    Returns:
        NDArray: RGB ``(H, W, 3)`` uint8.
    """
    lines = [_line(row.title) for row in rows]
    columns = max((len(row.images) for row in rows), default=0)
    titles = max((int(font.getlength(title)) for font, title in lines), default=0)
    width = max(columns * (side + _GAP), titles + _GAP) + _GAP
    height = len(rows) * (_TITLE_HEIGHT + side + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (row, (font, title)) in enumerate(zip(rows, lines, strict=True)):
        top = _GAP + index * (_TITLE_HEIGHT + side + _GAP)
        draw.text((_GAP, top + 2), title, fill="black", font=font)
        for column, pixels in enumerate(row.images):
            picture = fit_picture(pixels, side)
            left = _GAP + column * (side + _GAP) + (side - picture.width) // 2
            sheet.paste(picture, (left, top + _TITLE_HEIGHT + (side - picture.height) // 2))
    return np.asarray(sheet)


def _line(title: str) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, str]:
    """A font for a title, and the title as that font can show it."""
    if title.isascii():
        return ImageFont.load_default(13), title
    path, spelled = picture_font(title)
    return ImageFont.truetype(path, 13), spelled


def fit_picture(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    """Fit a picture into a square, keeping its shape. Enlarged pixels stay visible: a 32 x 32 image is not smeared.

    Args:
        pixels (NDArray): RGB ``(H, W, 3)`` uint8.
        side (int): Height and width of the square in pixels.
    """
    picture = Image.fromarray(pixels)
    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX if scale > 1 else Image.Resampling.LANCZOS)
