"""Labels of datasets whose annotations are serialised, so that they are read out of them once."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

# By the array that a dataset keeps its annotations in: copies of the dataset that share it share the labels, a subset
# has an array of its own, and nothing more is pickled with the dataset. An entry goes with its array.
_LABELS: dict[int, tuple[weakref.ref[np.ndarray], np.ndarray]] = {}


def remember_labels(data_bytes: np.ndarray, labels: np.ndarray) -> None:
    """Keep the labels of serialised annotations for as long as these exist.

    Args:
        data_bytes: The annotations, as mmengine's ``BaseDataset`` holds them.
        labels: Labels ``(N,)``, int64.
    """
    key = id(data_bytes)
    labels.flags.writeable = False
    _LABELS[key] = (weakref.ref(data_bytes, lambda _: _LABELS.pop(key, None)), labels)


def labels_of_leaf(leaf: Any) -> np.ndarray:
    """Labels of a dataset that wraps nothing, ``(N,)`` int64; not to be written to.

    Annotations that are not serialised can be changed in place, so their labels are read each time.

    Args:
        leaf: A dataset with ``get_gt_labels``.
    """
    data_bytes = getattr(leaf, "data_bytes", None) if getattr(leaf, "serialize_data", False) else None
    if data_bytes is not None and id(data_bytes) in _LABELS:
        return _LABELS[id(data_bytes)][1]
    labels = np.asarray(leaf.get_gt_labels(), dtype=np.int64)
    if isinstance(data_bytes, np.ndarray) and data_bytes.size:
        remember_labels(data_bytes, labels.copy())
    return labels
