"""Base of the samplers whose order follows from seed, epoch and labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from lt_plugins.datasets.labels import get_labels
from lt_plugins.distributed import rank_and_world_size, shared_seed
from lt_plugins.errors import UserInputError


class EpochSampler(Sampler[int]):
    """Base class of samplers that read the labels; a method is one ``draw(generator) -> (N,)``.

    The order of an epoch follows from seed, epoch and number of epochs alone, so that a resumed run repeats it. All
    ranks draw the same order and take turns in it.

    Args:
        dataset: A dataset in any nesting of wrappers, or its labels as an array or tensor ``(N,)``, see
            :func:`~lt_plugins.datasets.labels.get_labels`.
        num_samples (int, optional): Images an epoch, of all ranks together; rounded up so that each rank has the same
            number. Defaults to the size of the dataset.
        seed (int, optional): The same on all ranks. Defaults to one drawn from torch's global generator.

    Raises:
        UserInputError: If ``num_samples`` is not positive, or the dataset is empty or has no labels.
    """

    def __init__(self, dataset: Any, num_samples: int | None = None, seed: int | None = None) -> None:
        self.labels = get_labels(dataset)
        if not len(self.labels):
            raise UserInputError(f"{type(self).__name__} got a dataset without images.")
        self.dataset = dataset
        self.rank, self.world_size = rank_and_world_size()
        self.set_num_samples(len(self.labels) if num_samples is None else num_samples)
        self.seed = shared_seed() if seed is None else seed
        self.epoch = 0
        self.max_epochs: int | None = None

    def set_num_samples(self, num_samples: int) -> None:
        """Set the length of an epoch.

        Args:
            num_samples (int): Images of all ranks together; rounded up so that each rank has the same number.

        Raises:
            UserInputError: If it is not positive.
        """
        if num_samples <= 0:
            raise UserInputError(f"num_samples={num_samples} must be positive.")
        self.total_size = math.ceil(num_samples / self.world_size) * self.world_size

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Order of all images of an epoch; what a method implements.

        Args:
            generator (numpy.random.Generator): Seeded with seed and epoch, the same on all ranks.

        Returns:
            numpy.ndarray: Indices in the dataset, int64, shape ``(total_size,)`` or longer; the rest is left out.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define draw(generator).")

    def __iter__(self) -> Iterator[int]:
        """Indices of this rank's images in the dataset."""
        order = self.draw(np.random.default_rng([self.seed, self.epoch]))
        return iter(order[self.rank : self.total_size : self.world_size].tolist())

    def __len__(self) -> int:
        """Number of images of this rank in an epoch."""
        return self.total_size // self.world_size

    def set_epoch(self, epoch: int, max_epochs: int | None = None) -> None:
        """Choose the order; call it before each epoch (``EpochHook`` does, and mmengine's ``DistSamplerSeedHook``).

        Args:
            epoch (int): The epoch, from 0.
            max_epochs (int, optional): Number of epochs of the training, which ``EpochHook`` gives. Defaults to the one
                given before.
        """
        self.epoch = epoch
        self.max_epochs = self.max_epochs if max_epochs is None else max_epochs
