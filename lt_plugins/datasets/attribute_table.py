"""Tables of attributes: CSV files that say of each image which attribute it has, or which of several."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lt_plugins.datasets.image_table import COLUMNS
from lt_plugins.datasets.text_file import excerpt, read_lines, show_path
from lt_plugins.errors import UserInputError

ATTRIBUTE = "attribute"
_HINT = "give a file whose first line is image,attribute, or image and the names of several attributes"


class AttributeTable(NamedTuple):
    """Attributes of images.

    Args:
        names (tuple[str, ...]): Names of the ``A`` attributes: sorted, or those of the columns.
        rows (dict[str, NDArray]): Of each image, by its path: how much it has of each attribute, ``(A,)`` float64 from
            0 to 1. With ``is_single`` exactly one is 1.
        is_single (bool): Whether the table has one column ``attribute``.
    """

    names: tuple[str, ...]
    rows: dict[str, NDArray[np.float64]]
    is_single: bool


def read_attribute_table(path: str | Path) -> AttributeTable:
    """Read a CSV file ``image,attribute``, or one with a column of numbers from 0 to 1 for each attribute.

    Args:
        path (str | Path): The file; separated by commas.

    Returns:
        AttributeTable: Its content.

    Raises:
        UserInputError: If the file cannot be read, has no such columns, or a row lacks a value or is there twice.
    """
    lines = read_lines(path, "attribute table", _HINT)
    reader = csv.reader(lines)
    header = [name.strip() for name in next(reader, [])]
    places = [index for index, name in enumerate(header) if name.lower() in COLUMNS["path"]]
    if len(places) != 1 or len(header) < 2:
        raise UserInputError(f"{show_path(path)}, line 1: {excerpt(','.join(header))} is no such header; {_HINT}.")
    columns = [index for index in range(len(header)) if index != places[0]]
    fields = {}
    for row in reader:
        if not any(value.strip() for value in row):
            continue
        where = f"{show_path(path)}, line {reader.line_num}"
        if len(row) != len(header) or not all(value.strip() for value in row):
            raise UserInputError(f"{where}: {len(row)} values, expected {len(header)} that are not empty.")
        image = row[places[0]].strip()
        if image in fields:
            raise UserInputError(f"{where}: {excerpt(image)} is there twice; give each image once.")
        fields[image] = (where, [row[index].strip() for index in columns])
    if [header[index].lower() for index in columns] == [ATTRIBUTE]:
        names = tuple(sorted({values[0] for _, values in fields.values()}))
        one_hot = dict(zip(names, np.eye(len(names)), strict=True))
        return AttributeTable(names, {image: one_hot[values[0]] for image, (_, values) in fields.items()}, True)
    rows = {image: np.array([_number(value, where) for value in values]) for image, (where, values) in fields.items()}
    return AttributeTable(tuple(header[index] for index in columns), rows, False)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise UserInputError(f"{where}: {excerpt(text)} is no number from 0 to 1; name a single column 'attribute'.")
    return value
