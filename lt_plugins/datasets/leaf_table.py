"""What is under a chain of dataset wrappers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LeafTable:
    """Where each sample of a wrapped dataset lies in the datasets at the end of the chain.

    Args:
        leaves: The datasets that hold images and a pipeline, in order of appearance.
        leaf_of: Which leaf holds each sample, ``(N,)`` int32.
        index_in_leaf: The index of each sample in its leaf, ``(N,)`` int64.
    """

    leaves: tuple[Any, ...]
    leaf_of: np.ndarray
    index_in_leaf: np.ndarray

    def distinct_images(self) -> list[tuple[Any, np.ndarray]]:
        """Each image once, however often the wrappers give it.

        Datasets with the same annotations (one that is concatenated with itself) hold the same images.

        Returns:
            Pairs of a leaf and the ascending indices ``(M,)`` int64 of its images that occur.
        """
        twins = self._twins()
        images = []
        for position in np.unique(twins).tolist():
            occurs = np.zeros(len(self.leaves[position]), dtype=bool)
            occurs[self.index_in_leaf[twins[self.leaf_of] == position]] = True
            images.append((self.leaves[position], np.flatnonzero(occurs)))
        return images

    def image_numbers(self) -> np.ndarray:
        """A number for the image of each sample, the same for those that have the same image.

        Returns:
            ``(N,)`` int64; as in :meth:`distinct_images` of datasets with the same annotations.
        """
        begins = np.cumsum([0, *map(len, self.leaves)])[:-1]
        numbers: np.ndarray = begins[self._twins()[self.leaf_of]] + self.index_in_leaf
        return numbers

    def _twins(self) -> np.ndarray:
        """The first leaf with the images of each leaf, ``(L,)``."""
        twins: list[int] = []
        for position, leaf in enumerate(self.leaves):
            first = (other for other in sorted(set(twins)) if _same_images(self.leaves[other], leaf))
            twins.append(next(first, position))
        return np.array(twins, dtype=np.int64)


def _same_images(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other) or len(one) != len(other) or not getattr(one, "serialize_data", False):
        return False
    return one.data_bytes is other.data_bytes or np.array_equal(one.data_bytes, other.data_bytes)


def build_leaf_table(dataset: Any) -> LeafTable:
    """Follow a chain of wrappers down to the datasets that hold the images.

    Knows the wrappers of mmengine (``ConcatDataset``, ``RepeatDataset``, ``ClassBalancedDataset``), mmpretrain
    (``KFoldDataset``), torch (``Subset``, ``ConcatDataset``) and this package, in any nesting.

    Args:
        dataset: Any dataset with ``N`` samples.

    Returns:
        The table of its samples. A dataset that wraps nothing is its own only leaf.
    """
    children, positions = _unwrap(dataset)
    if not children:
        return LeafTable((dataset,), np.zeros(len(dataset), np.int32), np.arange(len(dataset), dtype=np.int64))

    tables = [build_leaf_table(child) for child in children]
    first_leaf = np.cumsum([0] + [len(table.leaves) for table in tables[:-1]])
    leaf_of = np.concatenate([table.leaf_of + start for table, start in zip(tables, first_leaf, strict=True)]).astype(
        np.int32
    )
    index_in_leaf = np.concatenate([table.index_in_leaf for table in tables])
    if positions is not None:
        leaf_of, index_in_leaf = leaf_of[positions], index_in_leaf[positions]
    return LeafTable(tuple(leaf for table in tables for leaf in table.leaves), leaf_of, index_in_leaf)


def find_parts(dataset: Any) -> list[Any]:
    """The datasets that a dataset joins one after the other; itself if it joins none.

    Args:
        dataset: A ``ConcatDataset``, or one with ``parts`` of its own, also inside wrappers that keep the order.
    """
    if hasattr(dataset, "parts"):
        own: list[Any] = dataset.parts
        return own
    children, positions = _unwrap(dataset)
    if not children or (positions is not None and not np.array_equal(positions, np.arange(sum(map(len, children))))):
        return [dataset]
    return children if len(children) > 1 else find_parts(children[0])


def _unwrap(dataset: Any) -> tuple[list[Any], np.ndarray | None]:
    """The wrapped datasets and where the samples lie in their concatenation (None: in the same order)."""
    if hasattr(dataset, "datasets"):  # ConcatDataset of mmengine and torch
        return list(dataset.datasets), None
    if not hasattr(dataset, "dataset"):
        return [], None
    if hasattr(dataset, "repeat_indices"):  # mmengine ClassBalancedDataset
        return [dataset.dataset], np.asarray(dataset.repeat_indices, dtype=np.int64)
    if hasattr(dataset, "times"):  # mmengine RepeatDataset
        return [dataset.dataset], np.tile(np.arange(len(dataset.dataset)), dataset.times)
    if hasattr(dataset, "indices"):  # torch Subset, IndexedDataset, LongTailDataset
        return [dataset.dataset], np.asarray(dataset.indices, dtype=np.int64)
    return [dataset.dataset], None  # mmpretrain KFoldDataset: its `dataset` already is the fold
