"""Page in sections: one whose input is missing becomes a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from lt_plugins.atomic_write import atomic_write
from lt_plugins.errors import UserInputError
from lt_plugins.visualization import HtmlReport


class SectionedPage:
    """Page that is written section by section.

    Args:
        title (str): Title of the page.
        png_dir (Path | None): Also write each figure there.
        say (Callable[[str], None]): Takes the lines that say what is missing.
    """

    def __init__(self, title: str, png_dir: Path | None, say: Callable[[str], None]) -> None:
        self.page = HtmlReport(title)
        self.png_dir = png_dir
        self.say = say

    def section(self, heading: str, write: Callable[[], None]) -> None:
        """Write a section.

        Args:
            heading (str): Its heading.
            write (Callable[[], None]): Writes it; a :class:`UserInputError` ends it with a line.
        """
        self.page.add_heading(heading)
        try:
            write()
        except UserInputError as error:
            self.note(str(error))

    def note(self, text: str) -> None:
        """Add a line about what is missing, and say it to the user.

        Args:
            text (str): The line.
        """
        self.page.add_text(text)
        self.say(f"note: {text}")

    def figure(self, name: str, figure: Figure, caption: str) -> None:
        """Add a figure.

        Args:
            name (str): Name of its PNG file, without the ending.
            figure (Figure): The figure.
            caption (str): What it shows.
        """
        png = self.page.add_figure(figure, caption)
        if self.png_dir is not None:
            atomic_write(self.png_dir / f"{name}.png", png)
