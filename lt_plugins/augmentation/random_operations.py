"""Operations with a probability and a drawn magnitude, alone or one of several for each image."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.augmentation.batched_transform import BatchedTransform
from lt_plugins.augmentation.draws import Draws
from lt_plugins.augmentation.magnitude import Magnitude, MagnitudeDrawer
from lt_plugins.augmentation.operations import Operation
from lt_plugins.augmentation.random_apply import apply_to
from lt_plugins.augmentation.upload import upload

# Bytes of the images of an operation that run at once: what is computed of them stays in the cache of a core, and on a
# GPU within a fraction of its memory.
_CPU_BYTES = 1 << 19
_GPU_BYTES = 1 << 28


@dataclass(frozen=True)
class RandomOperation:
    """Changes each image with a probability by an operation of a drawn magnitude.

    Args:
        operations (tuple[Operation, ...]): The operation; of several, each image takes one, all equally likely.
        magnitude (Magnitude): How its magnitude is drawn.
        prob (float): Probability that an image is changed.
    """

    operations: tuple[Operation, ...]
    magnitude: Magnitude
    prob: float

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Change a batch.

        Args:
            images (Tensor): BGR, uint8 ``(B, 3, H, W)``.
            draws (Draws): Random numbers of each image.

        Returns:
            Tensor: Same shape.
        """
        return ChosenTransforms([self])(images, draws, np.zeros(len(images), dtype=np.int64))


class ChosenTransforms:
    """Changes each image by the one of several transforms that was chosen for it.

    Operations of one kind run together, over all transforms that have them, and only on the images that take them.
    Which these are is known on the CPU.

    Args:
        transforms (Sequence[BatchedTransform | None]): The transforms, K of them; None leaves an image as it is.
    """

    def __init__(self, transforms: Sequence[BatchedTransform | None]) -> None:
        nothing = RandomOperation((), Magnitude.fixed(0.0), prob=0.0)
        random = [each if isinstance(each, RandomOperation) else nothing for each in transforms]
        self.probs = np.array([each.prob for each in random])
        self.magnitudes = MagnitudeDrawer([each.magnitude for each in random])
        self.num_variants = np.array([max(1, len(each.operations)) for each in random])
        # Numbers of the operations of each transform: those of a kind follow each other.
        kinds: dict[Hashable, list[tuple[int, int]]] = {}
        for row, each in enumerate(random):
            for column, operation in enumerate(each.operations):
                kinds.setdefault(operation.kind, []).append((row, column))
        self.numbers = np.full((len(random), self.num_variants.max()), -1)
        self.kinds: list[list[Operation]] = []
        count = 0
        for places in kinds.values():
            self.kinds.append([random[row].operations[column] for row, column in places])
            for place in places:
                self.numbers[place] = count
                count += 1
        self.others = [
            (number, each)
            for number, each in enumerate(transforms)
            if each is not None and not isinstance(each, RandomOperation)
        ]

    def __call__(self, images: Tensor, draws: Draws, chosen: NDArray[np.int64]) -> Tensor:
        """Change a batch.

        Args:
            images (Tensor): BGR, uint8 ``(B, 3, H, W)``.
            draws (Draws): Random numbers of each image.
            chosen (NDArray): The transform of each image, ``(B,)``.

        Returns:
            Tensor: Same shape.
        """
        images = self._run(images, *self._draw(draws, chosen))
        for number, transform in self.others:
            images = apply_to(transform, images, draws, np.flatnonzero(chosen == number))
        return images

    def _draw(self, draws: Draws, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Draw the number of the operation of each image, -1 for none, and its magnitude; both ``(B,)``."""
        happens = draws.uniform() < self.probs[chosen]
        magnitudes = self.magnitudes.draw(chosen, draws)
        if self.numbers.shape[1] == 1:
            numbers = self.numbers[chosen, 0]
        else:
            numbers = self.numbers[chosen, (draws.uniform() * self.num_variants[chosen]).astype(np.int64)]
        return np.where(happens, numbers, -1), magnitudes

    def _run(self, images: Tensor, numbers: NDArray[np.int64], magnitudes: NDArray[np.float64]) -> Tensor:
        """Run operations on the images that take them: sorted by these, then put back in order."""
        height, width = images.shape[2:]
        limit = max(1, (_CPU_BYTES if images.device.type == "cpu" else _GPU_BYTES) // (3 * height * width))
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers + 1, minlength=sum(map(len, self.kinds)) + 1))
        rows, magnitudes = upload(order, images.device), magnitudes[order]
        parts = [images.index_select(0, rows[: ends[0]])]
        number = 0
        for operations in self.kinds:
            start = ends[number]
            parameters = []
            for operation in operations:
                taken = magnitudes[ends[number] : ends[number + 1]]
                number += 1
                if len(taken):
                    parameters.append(operation.parameters(taken, (height, width)))
            if parameters:
                together = np.concatenate(parameters)
                for first in range(0, len(together), limit):
                    some = together[first : first + limit]
                    taken_images = images.index_select(0, rows[start + first : start + first + len(some)])
                    parts.append(operations[0].apply(taken_images, some))
        return torch.cat(parts).index_select(0, upload(np.argsort(order), images.device)) if len(parts) > 1 else images
