"""A dataset made of labels alone, for the tests of what goes around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS


@DATASETS.register_module(force=True)
class ArrayDataset(BaseDataset):
    """Sample i is an image of 2x2 pixels of value ``offset + i``.

    Args:
        labels: Labels ``(N,)``.
        offset: Tells the images of two such datasets apart.
        num_classes: Names the classes ``c0, c1, ...``; without it they have no names.
    """

    def __init__(self, labels: Sequence[int], offset: int = 0, num_classes: int | None = None, **kwargs: Any) -> None:
        self.labels, self.offset = list(labels), offset
        if num_classes is not None:
            kwargs["classes"] = [f"c{label}" for label in range(num_classes)]
        # Serialising collects garbage each time, which takes longer than all that the tests do.
        super().__init__(ann_file="", **{"serialize_data": False, **kwargs})

    def load_data_list(self) -> list[dict]:
        return [
            {"img": np.full((2, 2, 3), self.offset + i, dtype=np.int64), "gt_label": int(label)}
            for i, label in enumerate(self.labels)
        ]


def identity(sample: dict) -> int:
    """Which image it is."""
    return int(sample["img"][0, 0, 0])
