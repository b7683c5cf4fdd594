"""Base of the datasets whose images and labels stand in a list or in folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset

from lt_plugins.datasets.label_cache import remember_labels
from lt_plugins.datasets.text_file import read_class_names
from lt_plugins.errors import UserInputError
from lt_plugins.terminal import displayable


class ListedImages(BaseDataset):
    """Base of the datasets of image files: checks the names of classes, and keeps the labels beside the annotations."""

    def _compat_classes(self, metainfo: dict | None, classes: Any) -> dict:
        """Called by ``BaseDataset`` to put ``classes`` into ``metainfo``, where they can be given as well."""
        metainfo = dict(metainfo or {})
        if classes is not None or "classes" in metainfo:
            metainfo["classes"] = _class_names(metainfo.get("classes", classes))
        return metainfo

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        labels = np.array([info["gt_label"] for info in self.data_list], dtype=np.int64)
        data_bytes, data_address = super()._serialize_data()
        remember_labels(data_bytes, labels)
        return data_bytes, data_address


def _class_names(classes: Any) -> tuple[str, ...]:
    if isinstance(classes, str):
        return read_class_names(Path(classes).expanduser())
    if not isinstance(classes, Sequence):
        raise UserInputError(
            f"classes={str(classes)[:60]} must be a list of names, or the path of a file with one name a line"
        )
    return tuple(displayable(str(name)) for name in classes)
