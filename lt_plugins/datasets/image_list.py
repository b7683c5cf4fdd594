"""Lists of images: text files with a path and a label a line, and CSV files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mmengine.fileio import get_file_backend

from lt_plugins.datasets.image_table import SUFFIX, ImageTable, read_image_table
from lt_plugins.datasets.text_file import excerpt, read_lines, show_path
from lt_plugins.errors import UserInputError

_MAX_DIGITS = 18  # of a label in int64


class ImageList(NamedTuple):
    """A list of images: ``relative/path label`` lines, or a CSV file.

    Args:
        ann_file (str): The file.
        folder (str): Folder of the images, or an address; empty for absolute paths.
        num_classes (int): Number of classes ``C``; labels run from 0 to ``C-1``.
        path_replace (Sequence[tuple[Pattern, str]]): Patterns and what replaces them in each path, in order.
        split (str | None): Of a CSV file with a column ``split``: which of its images to read; None for all.
    """

    ann_file: str
    folder: str
    num_classes: int
    path_replace: Sequence[tuple[re.Pattern[str], str]]
    split: str | None

    def read(self, classes: tuple[str, ...] | None) -> tuple[list[dict], tuple[str, ...] | None]:
        """Read and check the list.

        Args:
            classes (tuple[str, ...] | None): Names of the classes, where they are given.

        Returns:
            tuple: One ``dict(img_path, gt_label)`` for each line that is not blank, with the ``group`` of a CSV file
            that has them, and the names of the classes: those
            given, or of the CSV file; None if neither names them.

        Raises:
            UserInputError: If the list is missing, empty or no UTF-8 text, a line is malformed, a path leaves the
                folder, a label is out of range, or ``classes`` are not ``num_classes``.
        """
        if self.ann_file.lower().endswith(SUFFIX):
            table = read_image_table(self.ann_file)
            rows = list(self._select(table))
            classes = table.classes if classes is None else classes
        else:
            rows = list(self._read_lines())
        if classes is not None and len(classes) != self.num_classes:
            raise UserInputError(f"classes names {len(classes)} classes, expected num_classes={self.num_classes}")
        places = ImagePlaces(self.folder, self.path_replace)
        samples = [
            {
                "img_path": places.find(path, partial(self._where, number)),
                "gt_label": label,
                **({"group": group} if group else {}),
            }
            for number, path, label, group in rows
        ]
        if not samples:
            raise UserInputError(
                f"list file {show_path(self.ann_file)} is empty, expected lines like 'relative/path.jpg 0'"
            )
        return samples, classes

    def _read_lines(self) -> Iterator[tuple[int, str, int, str]]:
        """Number, path and label of each line, and no group."""
        hint = "docs/data.md says where to get it, data_root and ann_file in the config where to put it"
        for number, line in enumerate(read_lines(self.ann_file, "list file", hint), start=1):
            if line.strip():
                yield number, *self._parse(line, number), ""

    def _select(self, table: ImageTable) -> Iterator[tuple[int, str, int, str]]:
        """Number, path, label and group of each row of the split."""
        for number, path, label, split, group in table.rows:
            if self.split in (None, split):
                self._check_label(label, path, number)
                yield number, path, label, group

    def _parse(self, line: str, number: int) -> tuple[str, int]:
        """Path and label of a line; both may hold blanks around them, and the path also within."""
        fields = line.strip().rsplit(maxsplit=1)
        if len(fields) != 2 or not (fields[1].isascii() and fields[1].isdecimal()):
            raise UserInputError(f"{self._where(number)}: {excerpt(line)} is not 'relative/path label'")
        if len(fields[1]) > _MAX_DIGITS:
            raise UserInputError(
                f"{self._where(number)}: the label of {excerpt(fields[0])} has {len(fields[1]):,} digits, "
                f"expected 0..{self.num_classes - 1}"
            )
        label = int(fields[1])
        self._check_label(label, fields[0], number)
        return fields[0], label

    def _check_label(self, label: int, path: str, number: int) -> None:
        if label >= self.num_classes:
            raise UserInputError(
                f"{self._where(number)}: label {label} of {excerpt(path)} is not in "
                f"0..{self.num_classes - 1}; set num_classes, or use the list that belongs to the dataset"
            )

    def _where(self, number: int) -> str:
        return f"{show_path(self.ann_file)}, line {number}"


class ImagePlaces:
    """Paths of images from those in a list: rewritten, joined to the folder of the images, and not out of it.

    Args:
        folder (str): Folder of the images, or an address; empty for absolute paths.
        path_replace (Sequence[tuple[Pattern, str]]): Patterns and what replaces them in each path, in order.
    """

    def __init__(self, folder: str, path_replace: Sequence[tuple[re.Pattern[str], str]]) -> None:
        self.folder = folder
        self.path_replace = path_replace
        self._join = get_file_backend(folder, enable_singleton=True).join_path

    def find(self, path: str, where: Callable[[], str]) -> str:
        """The path of an image.

        Args:
            path (str): The path in the list.
            where (Callable): Says where the list has it, for the message.

        Raises:
            UserInputError: If it leaves the folder.
        """
        for old, new in self.path_replace:
            path = old.sub(new, path)
        # Nearly all paths are plain, and millions of them must load quickly.
        if (".." in path or ":" in path or path.startswith("/")) and leaves_folder(self.folder, path):
            raise UserInputError(
                f"{where()}: {excerpt(path)} leaves the data root {show_path(self.folder)}; give "
                "paths below it (a link there may lead elsewhere), or absolute ones with empty data_root and "
                "data_prefix"
            )
        return self._join(self.folder, path)


def leaves_folder(folder: str, path: str) -> bool:
    """Whether a path that is to be joined to a folder points out of it, by its text alone.

    Links are not looked at: people link data from other disks.

    Args:
        folder (str): The folder, or an address with ``://``. Of an empty one only an address leads out.
        path (str): What is joined to it.
    """
    if "://" in path or "://" in folder:
        return "://" in path or ".." in path.split("/") or path.startswith("/")
    if not folder:
        return False
    root = os.path.normpath(Path(folder).absolute())
    target = os.path.normpath(Path(root, path))
    return os.path.commonpath([root, target]) != root


def compile_replacements(path_replace: Mapping[str, str]) -> list[tuple[re.Pattern[str], str]]:
    """Compile regular expressions, and check that each has the groups that its replacement names.

    Args:
        path_replace (Mapping[str, str]): Regular expressions and what replaces them.

    Raises:
        UserInputError: If one is malformed.
    """
    compiled = []
    for old, new in path_replace.items():
        try:
            pattern = re.compile(old)
            pattern.sub(new, "")  # looks whether the pattern has the groups that the replacement names
        except (re.error, IndexError, TypeError) as error:
            raise UserInputError(f"path_replace {{{old!r}: {new!r}}} is no regular expression: {error}") from error
        compiled.append((pattern, new))
    return compiled
