"""Part sampler: another sampler on one part of a concatenated dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import Sampler

from lt_plugins.datasets.leaf_table import find_parts
from lt_plugins.datasets.samplers.nested import build_sampler, set_sampler_epoch
from lt_plugins.distributed import shared_seed
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class PartSampler(Sampler[int]):
    """Part sampler: gives the images of one part of a ``ConcatDataset``, in the order of another sampler.

    As the sampler of a training it also says whose class counts are those of the training: those of its part.

    Args:
        dataset: The concatenated dataset, also inside a wrapper that keeps the order.
        sampler (dict | Sampler): Config of the sampler, which sees the part alone, or the sampler itself.
        part (int): Which part, from 0. Defaults to 0.
        seed (int, optional): Of the sampler, the same on all ranks. Defaults to one drawn from torch's global
            generator.

    Raises:
        UserInputError: If the dataset is not concatenated, or has no such part.

    Examples:
        >>> train_dataloader = dict(
        ...     dataset=dict(type='ConcatDataset', datasets=[dict(type='CIFAR10', ...), dict(type='CIFAR10', ...)]),
        ...     sampler=dict(type='PartSampler', sampler=dict(type='DefaultSampler', shuffle=True)),
        ...     batch_sampler=dict(
        ...         type='CompanionBatchSampler', companions=[dict(type='ClassBalancedSampler', part=1)]))
    """

    def __init__(self, dataset: Any, sampler: dict | Sampler, part: int = 0, seed: int | None = None) -> None:
        parts = find_parts(dataset)
        if not 0 <= part < len(parts):
            raise UserInputError(
                f"part={part} of {type(dataset).__name__}, whose number of parts is {len(parts)}: give one from 0 to "
                f"{len(parts) - 1}, or join datasets with dict(type='ConcatDataset', datasets=[...])."
            )
        self.dataset = dataset
        self.part = part
        self.part_dataset = parts[part]
        self.offset = sum(len(before) for before in parts[:part])
        seed = shared_seed() if seed is None else seed
        self.sampler = build_sampler(sampler, dataset=self.part_dataset, seed=seed)
        self.epoch = 0
        self.max_epochs: int | None = None
        self.seed = seed

    @property
    def seed(self) -> int:
        """Seed of the sampler."""
        return self._seed

    @seed.setter
    def seed(self, seed: int) -> None:
        self._seed = self.sampler.seed = seed

    def __iter__(self) -> Iterator[int]:
        """Indices of this rank's images in the whole dataset."""
        return (index + self.offset for index in self.sampler)

    def __len__(self) -> int:
        """Number of images of this rank in an epoch."""
        return len(self.sampler)

    def set_epoch(self, epoch: int, max_epochs: int | None = None) -> str | None:
        """Choose the order; call it before each epoch (``EpochHook`` does).

        Args:
            epoch (int): The epoch, from 0.
            max_epochs (int, optional): Number of epochs of the training, which ``EpochHook`` gives. Defaults to the one
                given before.

        Returns:
            str | None: What the sampler says, for the log.
        """
        self.epoch = epoch
        self.max_epochs = self.max_epochs if max_epochs is None else max_epochs
        return set_sampler_epoch(self.sampler, epoch, self.max_epochs)
