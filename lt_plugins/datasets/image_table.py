"""CSV files of images: paths, labels or class names, and perhaps which split an image belongs to."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import NamedTuple

from lt_plugins.datasets.text_file import displayable, excerpt, read_lines, show_path
from lt_plugins.errors import UserInputError

SUFFIX = ".csv"
SPLITS = ("train", "val", "test")
COLUMNS = {
    "path": ("path", "image", "file", "filename", "image_path"),
    "label": ("label", "class", "class_name", "category"),
    "split": ("split", "subset"),
    "group": ("group", "patient", "sequence", "camera"),
}
_DELIMITERS = ",;\t"
_MAX_DIGITS = 18  # of a label in int64


class ImageRow(NamedTuple):
    """A row of a table of images.

    Args:
        line (int): Its line in the file, from 1.
        path (str): The path of the image.
        label (int): Its label.
        split (str | None): ``"train"``, ``"val"`` or ``"test"``; None in a table without such a column.
        group (str): What the image belongs to, such as a patient; empty in a table without such a column.
    """

    line: int
    path: str
    label: int
    split: str | None
    group: str = ""


class ImageTable(NamedTuple):
    """A table of images.

    Args:
        rows (list[ImageRow]): Its rows, in the order of the file.
        classes (tuple[str, ...] | None): Names of the classes, sorted; None where the labels are numbers.
    """

    rows: list[ImageRow]
    classes: tuple[str, ...] | None


def read_image_table(path: str) -> ImageTable:
    """Read a CSV file whose first line names the columns ``path`` and ``label``, and perhaps ``split`` and ``group``.

    Labels are numbers from 0, or names of classes, which are numbered in alphabetical order over all splits.

    Args:
        path (str): The file; separated by commas, semicolons or tabs.

    Returns:
        ImageTable: Its rows and classes.

    Raises:
        UserInputError: If the file cannot be read, a column is missing, or a row lacks path, label or split.
    """
    lines = read_lines(path, "CSV file", "give a file whose first line is path,label or path,label,split")
    header = lines[0] if lines else ""
    reader = csv.reader(lines, delimiter=max(_DELIMITERS, key=header.count))
    columns = [name.strip().lower() for name in next(reader, [])]
    places = {name: _find_column(columns, aliases) for name, aliases in COLUMNS.items()}
    for name in ("path", "label"):
        if places[name] is None:
            raise UserInputError(
                f"{show_path(path)}, line 1: {excerpt(header)} names no column {name!r}; start the file with a line "
                "like path,label or path,label,split."
            )
    found: list[tuple[int, str, str, str | None, str]] = []
    for fields in reader:
        if any(field.strip() for field in fields):
            values = {name: _field(fields, place) for name, place in places.items()}
            row = _check_row(path, reader.line_num, values, places["split"] is not None)
            found.append((reader.line_num, *row, values["group"]))
    names = sorted({label for _, _, label, *_ in found})
    if all(name.isascii() and name.isdecimal() and len(name) <= _MAX_DIGITS for name in names):
        return ImageTable(
            [ImageRow(line, path, int(label), split, group) for line, path, label, split, group in found], None
        )
    numbers = {name: number for number, name in enumerate(names)}
    rows = [ImageRow(line, path, numbers[label], split, group) for line, path, label, split, group in found]
    return ImageTable(rows, tuple(map(displayable, names)))


def _find_column(columns: Sequence[str], aliases: Sequence[str]) -> int | None:
    return next((columns.index(name) for name in aliases if name in columns), None)


def _field(fields: Sequence[str], place: int | None) -> str:
    return fields[place].strip() if place is not None and place < len(fields) else ""


def _check_row(path: str, line: int, values: dict[str, str], has_split: bool) -> tuple[str, str, str | None]:
    """Path, label and split of a row."""
    for name in ("path", "label"):
        if not values[name]:
            raise UserInputError(f"{show_path(path)}, line {line}: no {name}; each line needs a path and a label.")
    if not has_split:
        return values["path"], values["label"], None
    split = {"validation": "val", "valid": "val"}.get(values["split"].lower(), values["split"].lower())
    if split not in SPLITS:
        raise UserInputError(
            f"{show_path(path)}, line {line}: split {excerpt(values['split'])} is not one of {', '.join(SPLITS)}."
        )
    return values["path"], values["label"], split
