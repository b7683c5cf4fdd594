"""Training or validation part of a dataset that has no split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from mmengine.logging import print_log

from lt_plugins.datasets.image_groups import CopyPairs, find_copies, group_images
from lt_plugins.datasets.image_scan import scan_images
from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.datasets.integrity import max_pixels_of
from lt_plugins.datasets.labels import get_class_names, get_labels
from lt_plugins.datasets.splits import DEFAULT_FRACTION, describe_split, hash_names, some_names, split_validation
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
    Images of one ``group`` (a column of a CSV file) stay in one part. The training part logs one line about them.
    Either part has fraction, seed and ``copies_together`` as ``split`` and a hash of the names of the training images
    as ``training_names``.

    Args:
        dataset (Any): Dataset, or its config.
        part (Literal['train', 'val']): Which images to keep.
        val_fraction (float): Part of each class for validation, above 0 and below 1. Defaults to 0.2.
        seed (int): Which images are for validation. Defaults to 0.
        copies_together (bool): Whether copies of an image, equal files and ones that look alike, stay in one part; for
            this all files are read once (:func:`~lt_plugins.datasets.image_scan.scan_images`). Defaults to False.
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
        copies_together: bool = False,
        pipeline: Sequence[dict] | None = None,
    ) -> None:
        if part not in PARTS:
            raise UserInputError(f"part={part!r} of SplitDataset must be 'train' or 'val'.")
        super().__init__(dataset)
        labels = get_labels(self.dataset)
        names = _names(self)
        groups, line = _groups(self, labels, copies_together)
        chosen = split_validation(labels, names, val_fraction, seed, groups)
        if not chosen.any():
            is_single = np.bincount(labels).max(initial=0) < 2
            what = "no class has two images" if is_single else "the images of each class are copies or of one group"
            raise UserInputError(
                f"{_place(self.dataset)}: {what}, so none can be split off for validation; add images, or give a "
                "validation part."
            )
        if part == "train":
            line = describe_split(labels, chosen, get_class_names(self.dataset), val_fraction, seed) + line
            print_log(f"{_place(self.dataset)}: {line}", logger="current")
        self.split = {"val_fraction": val_fraction, "seed": seed, "copies_together": copies_together}
        self.training_names = hash_names([name for name, is_val in zip(names, chosen, strict=True) if not is_val])
        super().__init__(self.dataset, np.flatnonzero(chosen if part == "val" else ~chosen), pipeline)


def _groups(dataset: IndexedDataset, labels: np.ndarray, copies_together: bool) -> tuple[np.ndarray, str]:
    """Group of each image, and what to say about them."""
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    copies = None
    if copies_together:
        files = [index for index, info in enumerate(infos) if info.get("img_path") is not None]
        scanned = scan_images([infos[index]["img_path"] for index in files], max_pixels_of(dataset._leaf(0)))
        found = find_copies([image.fingerprint for image in scanned])
        numbers = np.array(files, dtype=np.int64)
        copies = CopyPairs(numbers[found.exact], numbers[found.near])
    groups, alike = group_images(labels, copies, [info.get("group", "") for info in infos])
    sizes = np.unique(groups, return_counts=True)[1]
    line = ""
    if (sizes > 1).any():
        number, images = int((sizes > 1).sum()), int(sizes[sizes > 1].sum())
        line = f"; {images:,} images in {number:,} group{'s' if number > 1 else ''} of copies or the like stay together"
    if alike:
        names = get_class_names(dataset.dataset)
        line += f"; all images look alike in: {some_names([names[label] for label in alike])}"
    return groups, line


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
