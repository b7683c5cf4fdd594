"""Image paths, given one by one, as folders or on standard input; read as they are needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from lt_plugins.datasets.folder_scan import SkippedFiles, iter_images
from lt_plugins.datasets.image_file import IMAGE_SUFFIXES
from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError

STANDARD_INPUT = "-"


class ImagePaths:
    """Paths of images: files as they are given, of folders all images below them, and lines of standard input.

    Folders are listed while the images are read, one at a time, so that their size does not matter.

    Args:
        given (Sequence[str]): Files, folders, or ``-`` alone for paths on standard input, one a line.
        lines (BinaryIO, optional): Standard input. Defaults to that of the process.

    Attributes:
        total (int | None): Number of images; None if they come on standard input.
        notes (list[str]): What lies in the folders beside images, a line for each.

    Raises:
        UserInputError: If one does not exist, a folder holds no image, or ``-`` is not alone.
    """

    def __init__(self, given: Sequence[str], lines: BinaryIO | None = None) -> None:
        self.given = given
        self._lines = lines
        self.notes: list[str] = []
        self.total: int | None = None
        if STANDARD_INPUT in given:
            if len(given) > 1:
                raise UserInputError("- reads the paths from standard input; give no images beside it.")
            return
        self.total = sum(map(self._count, given))

    def __iter__(self) -> Iterator[str]:
        if self.total is None:
            yield from self._read_lines()
            return
        for path in self.given:
            if Path(path).is_dir():
                for image in iter_images(Path(path), IMAGE_SUFFIXES, SkippedFiles()):
                    yield os.path.join(path, image)  # noqa: PTH118 (as typed: ./photos stays so)
            else:
                yield path

    def _read_lines(self) -> Iterator[str]:
        for line in sys.stdin.buffer if self._lines is None else self._lines:
            if path := os.fsdecode(line.rstrip(b"\r\n")):
                yield path

    def _count(self, path: str) -> int:
        if not Path(path).is_dir():
            if not os.path.lexists(path):
                raise UserInputError(f"{show_path(path)} does not exist; give images, folders of them, or - for stdin.")
            return 1
        skipped = SkippedFiles()
        count = sum(1 for _ in iter_images(Path(path), IMAGE_SUFFIXES, skipped))
        left_out = skipped.describe(Path(path)) if skipped else ""
        if not count:
            raise UserInputError(
                f"{show_path(path)} has no image in it" + (f" ({left_out})" if left_out else "") + "; give images "
                f"({', '.join(IMAGE_SUFFIXES)}) or folders of them."
            )
        if left_out:
            self.notes.append(f"{show_path(path)}: {left_out}")
        return count
