"""Class-aware sampler."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from lt_plugins.datasets.labels import get_labels
from lt_plugins.distributed import rank_and_world_size, shared_seed
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ClassAwareSampler(Sampler[int]):
    """Class-aware sampler: cycles through shuffled classes, taking ``samples_per_class`` images of each.

    The classes are shuffled again after each cycle; each class gives the next ``samples_per_class`` images of its own
    shuffled order, and is shuffled again when all have come. Classes without images are left out. The order follows
    from seed and epoch; the ranks take turns in it.

    Source: Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition" (ICLR 2020), with an
    epoch of as many images as the dataset has, like their training loop; or, with ``full_length``, of as many as their
    sampler yields where no loop cuts it short, as in the linear stage of SBCL on CIFAR.

    Args:
        dataset: A dataset in any nesting of wrappers, or its labels as an array or tensor ``(N,)``, see
            :func:`~lt_plugins.datasets.labels.get_labels`.
        samples_per_class (int): Images of a class in a row. Defaults to 4.
        num_samples (int, optional): Images an epoch, of all ranks together; rounded up so that each rank has the same
            number. Defaults to the size of the dataset.
        full_length (bool): Whether an epoch is so long that the largest class comes as a whole: its images times the
            number of classes with images. Defaults to False.
        seed (int, optional): The same on all ranks. Defaults to one drawn from torch's global generator.

    Raises:
        UserInputError: If a number is not positive, both ``num_samples`` and ``full_length`` are given, or the dataset
            is empty or has no labels.

    Examples:
        >>> train_dataloader = dict(sampler=dict(type='ClassAwareSampler', samples_per_class=4))
        >>> loader = DataLoader(dataset, batch_size=128, sampler=ClassAwareSampler(labels))
    """

    def __init__(
        self,
        dataset: Any,
        samples_per_class: int = 4,
        num_samples: int | None = None,
        full_length: bool = False,
        seed: int | None = None,
    ) -> None:
        if samples_per_class <= 0 or (num_samples is not None and num_samples <= 0):
            raise UserInputError(
                f"samples_per_class={samples_per_class} and num_samples={num_samples} must be positive."
            )
        if num_samples is not None and full_length:
            raise UserInputError(
                f"num_samples={num_samples} and full_length=True exclude each other; drop one of them from the sampler."
            )
        labels = get_labels(dataset)
        if not len(labels):
            raise UserInputError("ClassAwareSampler got a dataset without images.")
        self.dataset = dataset
        by_class = np.argsort(labels, kind="stable")
        self.images = np.split(by_class, np.flatnonzero(np.diff(labels[by_class])) + 1)
        self.rank, self.world_size = rank_and_world_size()
        self.samples_per_class = samples_per_class
        if full_length:
            num_samples = max(map(len, self.images)) * len(self.images)
        self.total_size = math.ceil((num_samples or len(labels)) / self.world_size) * self.world_size
        self.seed = shared_seed() if seed is None else seed
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        """Indices of this rank's images in the dataset."""
        generator = np.random.default_rng([self.seed, self.epoch])
        num_turns = math.ceil(self.total_size / self.samples_per_class)
        turns = _shuffled_cycle(np.arange(len(self.images)), num_turns, generator)
        order = np.empty((num_turns, self.samples_per_class), dtype=np.int64)
        of_class = np.split(
            np.argsort(turns, kind="stable"), np.bincount(turns, minlength=len(self.images)).cumsum()[:-1]
        )
        for images, rows in zip(self.images, of_class, strict=True):
            order[rows] = _shuffled_cycle(images, rows.size * self.samples_per_class, generator).reshape(
                -1, self.samples_per_class
            )
        return iter(order.ravel()[self.rank : self.total_size : self.world_size].tolist())

    def __len__(self) -> int:
        """Number of images of this rank in an epoch."""
        return self.total_size // self.world_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; call it before each epoch (mmengine's ``DistSamplerSeedHook`` does).

        Args:
            epoch (int): The epoch, from 0.
        """
        self.epoch = epoch


def _shuffled_cycle(values: np.ndarray, length: int, generator: np.random.Generator) -> np.ndarray:
    """All values in a random order, then all in another one, and so on; ``(length,)``."""
    rounds = np.tile(values, (math.ceil(length / len(values)), 1))
    return generator.permuted(rounds, axis=1).ravel()[:length]
