"""HTML report: writes text, tables and figures as one file that needs no other, and no network."""

from __future__ import annotations

import base64
import io
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from lt_plugins.atomic_write import atomic_write
from lt_plugins.table_text import csv_table, latex_table, shown
from lt_plugins.visualization.fonts import show_all_scripts
from lt_plugins.visualization.page_parts import SCRIPT, STYLE

_NUMBER = ' class="number"'
_MIME = {"csv": "text/csv", "tex": "application/x-tex"}
_LABELS = {"csv": "CSV", "tex": "LaTeX"}
# Rows of a table that are shown before a click, and rows from which on it can be searched and sorted.
SHOWN_ROWS = 50
SEARCHED_ROWS = 12


class HtmlReport:
    """Page that is built from top to bottom and saved as one self-contained file.

    Everything that is added is escaped, so class names and paths may hold any character.

    Args:
        title (str): Title of the page.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[str] = []
        self._table_names: dict[str, int] = {}
        self._heading = ""

    def add_heading(self, text: str) -> None:
        """Start a section."""
        self._heading = text
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

    def add_subheading(self, text: str) -> None:
        """Start a part of a section."""
        self._parts.append(f"<h3>{escape(text)}</h3>")

    def add_table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add a table with its CSV and LaTeX files to download; numbers are right-aligned, floats get two decimals.

        With a dozen rows or more it can be sorted by a click on a column and searched, and beyond 50 rows the others
        open with a click; without scripts all are there.

        Args:
            header (Sequence[str]): Names of the columns.
            rows (Iterable[Sequence[object]]): The cells, as many a row as the header has; None and NaN are empty ones.

        Raises:
            ValueError: If a row has more or fewer cells than the header.
        """
        rows = [[*row] for row in rows]
        columns = list(zip(header, *rows, strict=True))
        numeric = {index for index, (_, *column) in enumerate(columns) if column and all(map(_is_number, column))}
        head = "".join(f"<th{_NUMBER if i in numeric else ''}>{_breakable(name)}</th>" for i, name in enumerate(header))
        body = "".join(
            f"<tr>{''.join(_cell(value, index in numeric) for index, value in enumerate(row))}</tr>" for row in rows
        )
        tools = f' data-shown="{SHOWN_ROWS}"' if len(rows) >= SEARCHED_ROWS else ""
        links = self._downloads({"csv": csv_table(header, rows), "tex": latex_table(header, rows, numeric)})
        self._parts.append(
            f'<div class="table"{tools}><div class="scroll"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>{links}</div>"
        )

    def _downloads(self, texts: Mapping[str, str]) -> str:
        """Links that hold the files of a table, which is called after its section and numbered there."""
        slug = re.sub(r"[^a-z0-9]+", "_", (self._heading or self.title).lower()).strip("_") or "table"
        number = self._table_names[slug] = self._table_names.get(slug, 0) + 1
        name = slug if number == 1 else f"{slug}_{number}"
        links = []
        for suffix, text in texts.items():
            # Spreadsheets take a file without the mark for Latin-1.
            mark = "\ufeff" if suffix == "csv" and not text.isascii() else ""
            data = base64.b64encode((mark + text).encode("utf-8", "backslashreplace")).decode()
            uri = f"data:{_MIME[suffix]};charset=utf-8;base64,{data}"
            links.append(f'<a download="{name}.{suffix}" href="{uri}">{_LABELS[suffix]}</a>')
        return f'<p class="downloads">{" ".join(links)}</p>'

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

    def add_images(
        self, images: Iterable[tuple[NDArray[np.uint8], str]], width: int | None = None, as_jpeg: bool = False
    ) -> None:
        """Add pictures with captions beside each other; the row wraps.

        Args:
            images (Iterable[tuple[NDArray, str]]): RGB ``(H, W, 3)`` or grey ``(H, W)`` uint8 pictures, and captions.
            width (int | None): Shown width of each in pixels. Defaults to that of the picture.
            as_jpeg (bool): Whether photographs may lose what JPEG loses, for a page of a tenth of the size. Defaults to
                False.
        """
        size = "" if width is None else f' width="{width}"'
        kind = "jpeg" if as_jpeg else "png"
        tags = (_figure_tag(_encode(image, kind), caption, size, kind) for image, caption in images)
        self._parts.append(f'<div class="grid">{"".join(tags)}</div>')

    def render(self) -> str:
        """Give the whole page."""
        has_tools = any(part.startswith('<div class="table" data-shown') for part in self._parts)
        script = f"\n<script>{SCRIPT}</script>" if has_tools else ""
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style></head>\n"
            f"<body><h1>{escape(self.title)}</h1>\n" + "\n".join(self._parts) + f"{script}\n</body></html>\n"
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
    show_all_scripts(figure)
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


def _encode(image: NDArray[np.uint8], kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format=kind)
    return buffer.getvalue()


def _figure_tag(data: bytes, caption: str, attributes: str, kind: str = "png") -> str:
    encoded = base64.b64encode(data).decode()
    text = escape(caption)
    image = f'<img alt="{text}" src="data:image/{kind};base64,{encoded}"{attributes}>'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def _breakable(name: str) -> str:
    """A header that may break where names of runs and metrics have their joints."""
    return re.sub(r"([_/+@])", r"\1<wbr>", escape(name))


def _is_number(value: object) -> bool:
    """Whether a cell is a number, empty, or text with a measured one: ``47.0``, ``47.0 ± 0.3``, ``-`` for none yet."""
    if isinstance(value, str):
        return bool(re.fullmatch(r"-|[-+\u2212]?\d+\.\d+(e-\d+| ± \d+\.\d+)?", value))
    return value is None or (isinstance(value, numbers.Real) and not isinstance(value, bool))


def _cell(value: object, is_number: bool) -> str:
    """A cell; a number in a column with text is on the right as well."""
    right = is_number or (not isinstance(value, str) and _is_number(value))
    return f"<td{_NUMBER if right else ''}>{escape(shown(value))}</td>"
