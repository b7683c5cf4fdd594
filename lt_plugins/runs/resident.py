"""Resident data, ``resident = True`` in a config: the runner wraps the dataset of each data loader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lt_plugins.datasets.resident_dataset import ResidentDataset


def resident_loader(loader: Mapping[str, Any]) -> dict[str, Any]:
    """Config of a data loader whose images are in memory.

    Args:
        loader (Mapping[str, Any]): Config of one that loads image by image.
    """
    return {
        **loader,
        "dataset": {"type": ResidentDataset.__name__, "dataset": loader["dataset"]},
        "num_workers": 0,
        "persistent_workers": False,
        "collate_fn": {"type": "pseudo_collate"},
    }
