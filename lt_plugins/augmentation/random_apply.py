"""A transform of some images of a batch, drawn at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.augmentation.batched_transform import BatchedTransform
from lt_plugins.augmentation.draws import Draws
from lt_plugins.augmentation.rows import with_rows
from lt_plugins.augmentation.upload import upload
from lt_plugins.errors import UserInputError


class RandomApply:
    """Applies a transform to each image with a probability.

    Args:
        transform (BatchedTransform): The transform, which keeps the size of the images.
        prob (float): Probability that an image is transformed.
    """

    def __init__(self, transform: BatchedTransform, prob: float) -> None:
        self.transform = transform
        self.prob = prob

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Transform some of the images.

        Args:
            images (Tensor): uint8 ``(B, 3, H, W)``.
            draws (Draws): Random numbers of each image.

        Returns:
            Tensor: Same shape.

        Raises:
            UserInputError: If the transform gives images of another size.
        """
        return apply_to(self.transform, images, draws, np.flatnonzero(draws.happens(self.prob)))


def apply_to(transform: BatchedTransform, images: Tensor, draws: Draws, positions: NDArray[np.int64]) -> Tensor:
    """Transform some images of a batch.

    Args:
        transform (BatchedTransform): The transform, which keeps the size of the images.
        images (Tensor): uint8 ``(B, 3, H, W)``.
        draws (Draws): Random numbers of each image of the batch.
        positions (NDArray): Which of them, ``(M,)``, ascending.

    Returns:
        Tensor: Same shape.

    Raises:
        UserInputError: If the transform gives images of another size.
    """
    own_draws = draws.take(positions)
    if not len(positions):
        return images
    if len(positions) == len(images):
        changed, rows = transform(images, own_draws), None
    else:
        rows = upload(positions, images.device)
        changed = transform(images.index_select(0, rows), own_draws)
    if changed.shape[1:] != images.shape[1:]:
        raise UserInputError(
            f"a transform that is applied to some images of a batch made {tuple(changed.shape[2:])} pixels of "
            f"{tuple(images.shape[2:])}; give it the size of the images, or apply it to all of them."
        )
    return changed if rows is None else with_rows(images, rows, changed)
