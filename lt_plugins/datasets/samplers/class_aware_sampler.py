"""Class-aware sampler."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lt_plugins.datasets.samplers.epoch_sampler import EpochSampler
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ClassAwareSampler(EpochSampler):
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
        if samples_per_class <= 0:
            raise UserInputError(f"samples_per_class={samples_per_class} must be positive.")
        if num_samples is not None and full_length:
            raise UserInputError(
                f"num_samples={num_samples} and full_length=True exclude each other; drop one of them from the sampler."
            )
        super().__init__(dataset, num_samples, seed)
        by_class = np.argsort(self.labels, kind="stable")
        self.images = np.split(by_class, np.flatnonzero(np.diff(self.labels[by_class])) + 1)
        self.samples_per_class = samples_per_class
        if full_length:
            self.set_num_samples(max(map(len, self.images)) * len(self.images))

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Order of all images of an epoch, in turns of the classes.

        Args:
            generator (numpy.random.Generator): Seeded with seed and epoch, the same on all ranks.

        Returns:
            numpy.ndarray: Indices in the dataset, int64, shape ``(total_size,)`` or longer, up to a whole turn.
        """
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
        return order.ravel()


def _shuffled_cycle(values: np.ndarray, length: int, generator: np.random.Generator) -> np.ndarray:
    """All values in a random order, then all in another one, and so on; ``(length,)``."""
    rounds = np.tile(values, (math.ceil(length / len(values)), 1))
    return generator.permuted(rounds, axis=1).ravel()[:length]
