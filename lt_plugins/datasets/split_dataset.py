"""Training or validation part of a dataset that has no split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from mmengine.logging import print_log

from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.datasets.labels import get_class_names, get_labels
from lt_plugins.datasets.splits import DEFAULT_FRACTION, describe_split, hash_names, split_validation
from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATASETS

PARTS = ("train", "val")


@DATASETS.register_module()
class SplitDataset(IndexedDataset):
    """Keeps the training or the validation images of a seeded, stratified split.

    Each class gives ``val_fraction`` of its images to validation, at least one and never its last; a class with one
    image keeps it in training. Which ones follows from the seed and the paths below the root of the dataset
    (:func:`~lt_plugins.datasets.splits.split_validation`), so that training, resuming and testing find the same parts.
    The training part logs one line about them. Either part has fraction and seed as ``split`` and a hash of the
    names of the training images as ``training_names``.

    Args:
        dataset (Any): Dataset, or its config.
        part (Literal['train', 'val']): Which images to keep.
        val_fraction (float): Part of each class for validation, above 0 and below 1. Defaults to 0.2.
        seed (int): Which images are for validation. Defaults to 0.
        pipeline (Sequence[dict] | None): Transforms in place of those of the dataset. Defaults to its own.

    Raises:
        UserInputError: If ``part`` or ``val_fraction`` is out of range, or no class has two images.

    Examples:
        >>> train_dataloader = dict(dataset=dict(
        ...     type='SplitDataset', part='train', dataset=dict(type='ImageListDataset', data_root='data/birds')))
    """

    def __init__(
        self,
        dataset: Any,
        part: Literal["train", "val"],
        val_fraction: float = DEFAULT_FRACTION,
        seed: int = 0,
        pipeline: Sequence[dict] | None = None,
    ) -> None:
        if part not in PARTS:
            raise UserInputError(f"part={part!r} of SplitDataset must be 'train' or 'val'.")
        super().__init__(dataset)
        labels = get_labels(self.dataset)
        names = _names(self)
        chosen = split_validation(labels, names, val_fraction, seed)
        if not chosen.any():
            raise UserInputError(
                f"{_place(self.dataset)}: no class has two images, so none can be split off for validation; add "
                "images, or give a validation part."
            )
        if part == "train":
            line = describe_split(labels, chosen, get_class_names(self.dataset), val_fraction, seed)
            print_log(f"{_place(self.dataset)}: {line}", logger="current")
        self.split = (val_fraction, seed)
        self.training_names = hash_names([name for name, is_val in zip(names, chosen, strict=True) if not is_val])
        super().__init__(self.dataset, np.flatnonzero(chosen if part == "val" else ~chosen), pipeline)


def _names(dataset: IndexedDataset) -> list[str]:
    """Names of all images: their paths below the root of their dataset, or their number where they are no files."""
    names = []
    for index in range(len(dataset)):
        path = dataset.get_data_info(index).get("img_path")
        if path is not None:
            path = path.removeprefix(_prefix(dataset._leaf(index))).lstrip("/")
        names.append(str(index) if path is None else path)
    return names


def _place(dataset: Any) -> str:
    """Where a dataset reads its images, for messages."""
    place = getattr(dataset, "ann_file", "") or _prefix(dataset)
    return show_path(place.rstrip("/")) if place else type(dataset).__name__


def _prefix(dataset: Any) -> str:
    """Folder of the images of a dataset, empty if they are no files."""
    try:
        return getattr(dataset, "img_prefix", "")
    except KeyError:  # of mmpretrain's CIFAR
        return ""
