"""Dataset of features that stand in for its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.datasets.labels import get_labels
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LabelBatch


class FeatureDataset(Dataset):
    """Feature dataset: batches of features in place of the images of a dataset, which single samples still are.

    A data loader needs ``num_workers=0`` and :func:`take_batch` as its ``collate_fn``.

    Args:
        dataset (Any): The images, in any nesting of wrappers.
        features (Tensor): A feature of each, shape ``(N, D)``.

    Raises:
        UserInputError: If they are not of as many images.
    """

    def __init__(self, dataset: Any, features: Tensor) -> None:
        if len(dataset) != len(features):
            raise UserInputError(f"{len(features)} features for a dataset of {len(dataset)} images; give one of each.")
        self.dataset = dataset
        self.features = features
        self.labels = torch.from_numpy(get_labels(dataset))

    @property
    def metainfo(self) -> dict:
        """Meta information of the images, such as ``classes``."""
        return self.dataset.metainfo

    def rewrap(self, dataset: Any) -> Any:
        """The images through other transforms, of which these are not the features.

        Args:
            dataset (Any): Stands in for the wrapped dataset.
        """
        return dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> Any:
        return self.dataset[idx]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Give a batch at once; torch's data loader asks for it this way.

        Args:
            indices (Sequence[int]): Positions in this dataset, ``(B,)``.

        Returns:
            list[dict]: One batch: ``inputs`` ``(B, D)`` and ``data_samples``, a ``LabelBatch``.
        """
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return [{"inputs": self.features[chosen], "data_samples": LabelBatch(self.labels[chosen], sample_idx=chosen)}]


def take_batch(batches: list[dict[str, Any]]) -> dict[str, Any]:
    """The batch that a :class:`FeatureDataset` has made.

    Args:
        batches (list[dict]): It alone.
    """
    [batch] = batches
    return batch
