"""HTML report: writes text, tables and figures as one file that needs no other, and no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from lt_plugins.atomic_write import atomic_write

_STYLE = """
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; margin: .8rem 0; } .scroll { overflow-x: auto; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left; overflow-wrap: anywhere; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
figure { margin: 1rem 0; } figure > img { max-width: 100%; height: auto; }
figcaption { color: #444; font-size: .9rem; }
.grid { display: flex; flex-wrap: wrap; gap: .6rem; } .grid figure { margin: 0; }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: .8rem; }
"""
_NUMBER = ' class="number"'


class HtmlReport:
    """Page that is built from top to bottom and saved as one self-contained file.

    Everything that is added is escaped, so class names and paths may hold any character.

    Args:
        title (str): Title of the page.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[str] = []

    def add_heading(self, text: str) -> None:
        """Start a section."""
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def add_text(self, text: str) -> None:
        """Add a paragraph."""
        self._parts.append(f"<p>{escape(text)}</p>")

    def add_details(self, summary: str, text: str) -> None:
        """Add preformatted text that opens with a click.

        Args:
            summary (str): The line that is always shown.
            text (str): The text that opens.
        """
        self._parts.append(f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>")

    def add_table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add a table; numbers are right-aligned, floats get two decimals.

        Args:
            header (Sequence[str]): Names of the columns.
            rows (Iterable[Sequence[object]]): The cells, as many a row as the header has; None is an empty one.

        Raises:
            ValueError: If a row has more or fewer cells than the header.
        """
        cells = [[_cell(value) for value in row] for row in rows]
        head = ""
        for name, *column in zip(header, *cells, strict=True):
            numeric = bool(column) and all(cell.startswith(f"<td{_NUMBER}") for cell in column)
            head += f"<th{_NUMBER if numeric else ''}>{escape(name)}</th>"
        body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
        self._parts.append(f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>')

    def add_figure(self, figure: Figure, caption: str, dpi: int = 130) -> bytes:
        """Add a matplotlib figure.

        Args:
            figure (Figure): The figure.
            caption (str): What it shows; also read out where it cannot be seen.
            dpi (int): Resolution. Defaults to 130.

        Returns:
            bytes: The PNG file that it became.
        """
        width = f' width="{figure.get_figwidth() * 96:.0f}"'
        png = figure_to_png(figure, dpi)
        self._parts.append(_figure_tag(png, caption, width))
        return png

    def add_images(self, images: Iterable[tuple[NDArray[np.uint8], str]], width: int | None = None) -> None:
        """Add pictures with captions beside each other; the row wraps.

        Args:
            images (Iterable[tuple[NDArray, str]]): RGB ``(H, W, 3)`` or grey ``(H, W)`` uint8 pictures, and captions.
            width (int | None): Shown width of each in pixels. Defaults to that of the picture.
        """
        size = "" if width is None else f' width="{width}"'
        tags = (_figure_tag(_image_to_png(image), caption, size) for image, caption in images)
        self._parts.append(f'<div class="grid">{"".join(tags)}</div>')

    def render(self) -> str:
        """Give the whole page."""
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{_STYLE}</style></head>\n"
            f"<body><h1>{escape(self.title)}</h1>\n" + "\n".join(self._parts) + "\n</body></html>\n"
        )

    def save(self, path: str | Path) -> None:
        """Write the page, atomically.

        Args:
            path (str | Path): The file; its folder is made if missing.
        """
        atomic_write(path, self.render().encode("utf-8", "backslashreplace"))


def figure_to_png(figure: Figure, dpi: int = 130) -> bytes:
    """Render a figure as PNG.

    Args:
        figure (Figure): The figure.
        dpi (int): Resolution. Defaults to 130.
    """
    _show_dollars(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def _show_dollars(figure: Figure) -> None:
    """Show dollar signs in names as they are, instead of reading what is between two of them as a formula."""
    labels = [
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for label in axis.get_ticklabels(which="both")
    ]
    for text in {*labels, *figure.findobj(Text)}:
        # Ticks of logarithmic axes are formulas of matplotlib's own.
        text.set_parse_math(text.get_text().startswith(r"$\mathdefault"))


def _image_to_png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def _figure_tag(png: bytes, caption: str, attributes: str) -> str:
    data = base64.b64encode(png).decode()
    text = escape(caption)
    image = f'<img alt="{text}" src="data:image/png;base64,{data}"{attributes}>'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def _cell(value: object) -> str:
    if value is None:
        return f"<td{_NUMBER}></td>"
    if isinstance(value, float):
        return f"<td{_NUMBER}>{value:.2f}</td>"
    if isinstance(value, int):
        return f"<td{_NUMBER}>{value}</td>"
    return f"<td>{escape(str(value))}</td>"
