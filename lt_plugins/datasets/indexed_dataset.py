"""A wrapper that tells every sample its position."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.leaf_table import build_leaf_table
from lt_plugins.datasets.pipelines import replace_pipeline
from lt_plugins.registry import DATASETS


@DATASETS.register_module()
class IndexedDataset(Dataset):
    """Gives each sample ``sample_idx = position in this dataset``, whatever lies below.

    mmengine numbers the samples in the innermost dataset: two parts of a ``ConcatDataset``, or the copies of a
    ``RepeatDataset``, share their numbers. A method that keeps a value for each sample needs this wrapper around them,
    as the outermost dataset.

    A sample whose pipeline returns ``None`` is replaced by another one *of this dataset* (mmengine would draw it from
    the innermost one), and carries that one's position.

    Args:
        dataset (Any): Dataset, or its config. All datasets at the end of the chain must be mmpretrain ones.
        indices (Sequence[int] | np.ndarray | None): Which samples to keep, in this order. Defaults to all.
        pipeline (Sequence[dict] | None): Transforms in place of those of the dataset, as mmpretrain's k-fold
            cross-validation gives them. Defaults to its own.

    Examples:
        >>> train_dataloader = dict(dataset=dict(type='IndexedDataset', dataset=dict(
        ...     type='ConcatDataset', datasets=[dict(type='CIFAR10', ...), dict(type='CustomDataset', ...)])))
    """

    def __init__(
        self,
        dataset: Any,
        indices: Sequence[int] | np.ndarray | None = None,
        pipeline: Sequence[dict] | None = None,
    ) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.dataset.full_init()
        self.indices = np.arange(len(self.dataset)) if indices is None else np.asarray(indices, dtype=np.int64)
        self._table = build_leaf_table(self)
        if pipeline is not None:
            self.pipeline = pipeline

    def full_init(self) -> None:
        """Load the annotations; they already are, but mmengine's wrappers and runner ask."""
        self.dataset.full_init()

    def rewrap(self, dataset: Any) -> IndexedDataset:
        """The same selection from another dataset with the same samples.

        Args:
            dataset: Stands in for the wrapped dataset.

        Returns:
            A shallow copy of this wrapper.
        """
        clone = copy.copy(self)
        clone.dataset = dataset
        clone._table = build_leaf_table(clone)
        return clone

    def get_subset(self, indices: Sequence[int]) -> IndexedDataset:
        """Some of the samples, numbered anew (mmpretrain's ``KFoldDataset`` needs it).

        Args:
            indices: Positions in this dataset.

        Returns:
            A shallow copy of this wrapper with ``len(indices)`` samples.
        """
        clone = copy.copy(self)
        clone.indices = self.indices[np.asarray(indices, dtype=np.int64)]
        clone._table = build_leaf_table(clone)
        return clone

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped dataset, such as ``classes``."""
        return self.dataset.metainfo

    @property
    def pipeline(self) -> Any:
        """The transforms of the (first) dataset that holds the images; setting them leaves that dataset untouched.

        mmpretrain's ``browse_dataset`` looks into the steps this way.
        """
        return self._table.leaves[0].pipeline

    @pipeline.setter
    def pipeline(self, pipeline: Any) -> None:
        self.dataset = replace_pipeline(self.dataset, pipeline)
        self._table = build_leaf_table(self)

    def get_gt_labels(self) -> np.ndarray:
        """Labels of all samples, ``(N,)`` int64."""
        return get_labels(self)

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label of a sample in a list (mmengine's ``ClassBalancedDataset`` needs it).

        Args:
            idx: Position in this dataset.
        """
        return [int(self.get_data_info(idx)["gt_label"])]

    def get_data_info(self, idx: int) -> dict:
        """Annotation of a sample, with its ``sample_idx``.

        Args:
            idx: Position in this dataset; negative ones count from the end.
        """
        position = range(len(self))[idx]
        info = self._leaf(position).get_data_info(int(self._table.index_in_leaf[position]))
        info["sample_idx"] = position
        return info

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, idx: int) -> dict:
        for _ in range(self._leaf(idx).max_refetch + 1):
            leaf = self._leaf(idx)
            sample = leaf.pipeline(self.get_data_info(idx))
            if sample is not None:
                return sample
            if leaf.test_mode:
                break
            idx = random.randrange(len(self))
        raise RuntimeError(f"the pipeline gave no image for sample {idx}: {self.get_data_info(idx)}")

    def _leaf(self, idx: int) -> Any:
        """The dataset at the end of the chain that holds a sample."""
        return self._table.leaves[self._table.leaf_of[idx]]
