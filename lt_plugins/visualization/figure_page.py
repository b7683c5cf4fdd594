"""Figure page: writes an HTML page and its figures as PNG files beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from lt_plugins.atomic_write import atomic_write, check_output
from lt_plugins.errors import UserInputError
from lt_plugins.visualization.html import HtmlReport


class FigurePage(HtmlReport):
    """Page in a folder: ``index.html``, which holds all figures, and each figure as a PNG file.

    Args:
        title (str): Title of the page.
        out_dir (Path): The folder; it is made if missing.
        inputs (Sequence[Path]): Pictures that are shown, which those of the page must not replace. Defaults to none.

    Raises:
        UserInputError: If the folder cannot be made.
    """

    def __init__(self, title: str, out_dir: Path, inputs: Sequence[Path] = ()) -> None:
        super().__init__(title)
        try:
            out_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserInputError(
                f"folder {out_dir} cannot be made ({error.strerror}); give another one with -o."
            ) from error
        self.out_dir = out_dir
        self.inputs = inputs
        self.figure_names: list[str] = []

    def add_png(self, name: str, figure: Figure, caption: str) -> None:
        """Add a figure and write it to ``<name>.png``.

        Args:
            name (str): Name of the file; what cannot stand in one becomes ``_``.
            figure (Figure): The figure.
            caption (str): What it shows.

        Raises:
            UserInputError: If the file is one of the inputs.
        """
        file_name = re.sub(r"[^\w.-]+", "_", name)[:50] + ".png"
        check_output(self.out_dir / file_name, self.inputs)
        atomic_write(self.out_dir / file_name, self.add_figure(figure, caption))
        self.figure_names.append(file_name)

    def finish(self) -> str:
        """Write the page.

        Returns:
            str: The files that were written, for the user.
        """
        path = self.out_dir / "index.html"
        self.save(path)
        return f"wrote {path} and beside it {', '.join(self.figure_names)}"
