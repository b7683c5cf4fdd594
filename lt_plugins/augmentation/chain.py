"""Transforms of a batch, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lt_plugins.augmentation.batched_transform import BatchedTransform
from lt_plugins.augmentation.draws import Draws


class Chain:
    """Applies transforms in order, each with random numbers of its own.

    Args:
        transforms (Sequence[BatchedTransform]): The transforms.
    """

    def __init__(self, transforms: Sequence[BatchedTransform]) -> None:
        self.transforms = tuple(transforms)

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Transform a batch.

        Args:
            images (Tensor): uint8 ``(B, 3, H, W)``.
            draws (Draws): Random numbers of each image.
        """
        for transform in self.transforms:
            images = transform(images, draws.fork())
        return images
