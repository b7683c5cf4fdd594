"""Images named in a text file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.fileio import get_file_backend

from lt_plugins.datasets.image_table import SUFFIX, read_image_table
from lt_plugins.datasets.labelled_dataset import LabelledDataset
from lt_plugins.datasets.text_file import excerpt, read_lines, show_path
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATASETS

_MAX_DIGITS = 18  # of a label in int64


@DATASETS.register_module()
class ListDataset(LabelledDataset):
    r"""Reads ``relative/path label`` lines: ImageNet-LT, Places-LT, iNaturalist 2018.

    The same as ``CustomDataset(ann_file=...)``, with every line checked and paths that can be rewritten, because the
    lists of one split circulate for different folder layouts. A path must not leave ``data_root/data_prefix`` by
    ``..`` or by being absolute (links below it may lead anywhere); a list of absolute paths needs both to be empty. A
    file ``*.csv`` has columns (:func:`~lt_plugins.datasets.image_table.read_image_table`), and may name the classes.

    Args:
        ann_file (str): List file; each line holds a path without the data prefix, a blank and an integer label.
        num_classes (int): Number of classes ``C``; labels run from 0 to ``C-1``. Classes may be absent.
        path_replace (Mapping[str, str] | None): Regular expressions and what replaces them in each path, in order.
            Defaults to None.
        split (str | None): Of a CSV file with a column ``split``: which of its images to read. Defaults to all.
        **kwargs: ``data_root``, ``data_prefix``, ``pipeline``, ``classes`` and the other arguments of mmpretrain's
            ``BaseDataset``.

    Raises:
        UserInputError: If the list is missing, empty or no UTF-8 text, a line is malformed, a path leaves the data
            root, a label is out of range, or ``classes`` names another number of classes.

    Examples:
        >>> dict(type='ListDataset', data_root='data/places', ann_file='Places_LT_train.txt', num_classes=365,
        ...      path_replace={r'^train/(.)': r'data_256/\1/\1'}, pipeline=train_pipeline)
    """

    def __init__(
        self,
        ann_file: str,
        num_classes: int,
        path_replace: Mapping[str, str] | None = None,
        split: str | None = None,
        **kwargs: Any,
    ) -> None:
        if type(num_classes) is not int or num_classes < 1:
            raise UserInputError(f"num_classes={num_classes!r} of ListDataset must be a positive integer")
        self.num_classes = num_classes
        self.split = split
        self.path_replace = _compile(path_replace or {})
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and check the list.

        Returns:
            One ``dict(img_path, gt_label)`` for each line that is not blank.
        """
        rows = list(self._read_table() if str(self.ann_file).lower().endswith(SUFFIX) else self._read_list())
        if self.CLASSES is not None and len(self.CLASSES) != self.num_classes:
            raise UserInputError(f"classes names {len(self.CLASSES)} classes, expected num_classes={self.num_classes}")
        join = get_file_backend(self.img_prefix, enable_singleton=True).join_path
        samples = []
        for number, path, label in rows:
            for old, new in self.path_replace:
                path = old.sub(new, path)
            # Nearly all paths are plain, and millions of them must load quickly.
            if (".." in path or ":" in path or path.startswith("/")) and leaves_folder(self.img_prefix, path):
                raise UserInputError(
                    f"{self._where(number)}: {excerpt(path)} leaves the data root {show_path(self.img_prefix)}; give "
                    "paths below it (a link there may lead elsewhere), or absolute ones with empty data_root and "
                    "data_prefix"
                )
            samples.append({"img_path": join(self.img_prefix, path), "gt_label": label})
        if not samples:
            raise UserInputError(
                f"list file {show_path(self.ann_file)} is empty, expected lines like 'relative/path.jpg 0'"
            )
        return samples

    def _read_list(self) -> Iterator[tuple[int, str, int]]:
        """Number, path and label of each line."""
        hint = "docs/data.md says where to get it, data_root and ann_file in the config where to put it"
        for number, line in enumerate(read_lines(self.ann_file, "list file", hint), start=1):
            if line.strip():
                yield number, *self._parse(line, number)

    def _read_table(self) -> Iterator[tuple[int, str, int]]:
        """Number, path and label of each row of the split."""
        table = read_image_table(self.ann_file)
        if self.CLASSES is None and table.classes is not None:
            self._metainfo["classes"] = table.classes
        for number, path, label, split in table.rows:
            if self.split in (None, split):
                self._check_label(label, path, number)
                yield number, path, label

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


def _compile(path_replace: Mapping[str, str]) -> list[tuple[re.Pattern[str], str]]:
    compiled = []
    for old, new in path_replace.items():
        try:
            pattern = re.compile(old)
            pattern.sub(new, "")  # looks whether the pattern has the groups that the replacement names
        except (re.error, IndexError, TypeError) as error:
            raise UserInputError(f"path_replace {{{old!r}: {new!r}}} is no regular expression: {error}") from error
        compiled.append((pattern, new))
    return compiled
