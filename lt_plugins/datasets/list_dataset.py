"""Images named in a text file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.fileio import get_file_backend, list_from_file
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from lt_plugins.errors import UserInputError


@DATASETS.register_module()
class ListDataset(BaseDataset):
    r"""Reads ``relative/path label`` lines: ImageNet-LT, Places-LT, iNaturalist 2018.

    The same as ``CustomDataset(ann_file=...)``, with every line checked and paths that can be rewritten, because the
    lists of one split circulate for different folder layouts.

    Args:
        ann_file (str): List file; each line holds a path without the data prefix, a blank and an integer label.
        num_classes (int): Number of classes ``C``; labels run from 0 to ``C-1``. Classes may be absent.
        path_replace (Mapping[str, str] | None): Regular expressions and what replaces them in each path, in order.
            Defaults to None.
        **kwargs: ``data_root``, ``data_prefix``, ``pipeline``, ``classes`` and the other arguments of mmpretrain's
            ``BaseDataset``.

    Raises:
        UserInputError: If the list is missing or empty, a line is malformed, a label is out of range, or ``classes``
            names another number of classes.

    Examples:
        >>> dict(type='ListDataset', data_root='data/places', ann_file='Places_LT_train.txt', num_classes=365,
        ...      path_replace={r'^train/(.)': r'data_256/\1/\1'}, pipeline=train_pipeline)
    """

    def __init__(
        self, ann_file: str, num_classes: int, path_replace: Mapping[str, str] | None = None, **kwargs: Any
    ) -> None:
        self.num_classes = num_classes
        self.path_replace = [(re.compile(old), new) for old, new in (path_replace or {}).items()]
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and check the list.

        Returns:
            One ``dict(img_path, gt_label)`` for each line that is not blank.
        """
        if self.CLASSES is not None and len(self.CLASSES) != self.num_classes:
            raise UserInputError(f"classes names {len(self.CLASSES)} classes, expected num_classes={self.num_classes}")
        if "://" not in self.ann_file and not Path(self.ann_file).is_file():
            raise UserInputError(
                f"list file {self.ann_file} not found; docs/data.md says where to get it, "
                "data_root and ann_file in the config where to put it"
            )
        join = get_file_backend(self.img_prefix, enable_singleton=True).join_path
        samples = []
        for number, line in enumerate(list_from_file(self.ann_file), start=1):
            if not line.strip():
                continue
            path, label = self._parse(line, number)
            for old, new in self.path_replace:
                path = old.sub(new, path)
            samples.append({"img_path": join(self.img_prefix, path), "gt_label": label})
        if not samples:
            raise UserInputError(f"list file {self.ann_file} is empty, expected lines like 'relative/path.jpg 0'")
        return samples

    def _parse(self, line: str, number: int) -> tuple[str, int]:
        """Path and label of a line; both may hold blanks around them, and the path also within."""
        fields = line.strip().rsplit(maxsplit=1)
        if len(fields) != 2 or not fields[1].isdecimal():
            raise UserInputError(f"{self.ann_file}, line {number}: {line!r} is not 'relative/path label'")
        label = int(fields[1])
        if label >= self.num_classes:
            raise UserInputError(
                f"{self.ann_file}, line {number}: label {label} of {fields[0]} is not in 0..{self.num_classes - 1}; "
                "set num_classes, or use the list that belongs to the data set"
            )
        return fields[0], label
