"""Random mirror images."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from lt_plugins.augmentation.draws import Draws
from lt_plugins.augmentation.rows import with_rows
from lt_plugins.augmentation.upload import upload


class RandomFlip:
    """Mirrors images at random, each in at most one of three ways.

    Args:
        horizontal (float): Probability to swap left and right. Defaults to 0.
        vertical (float): Probability to swap top and bottom. Defaults to 0.
        diagonal (float): Probability to swap both. Defaults to 0.
    """

    def __init__(self, horizontal: float = 0.0, vertical: float = 0.0, diagonal: float = 0.0) -> None:
        self.ways = ((horizontal, (3,)), (vertical, (2,)), (diagonal, (2, 3)))

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Mirror some of the images.

        Args:
            images (Tensor): uint8 ``(B, 3, H, W)``.
            draws (Draws): Random numbers of each image.

        Returns:
            Tensor: Same shape.
        """
        number = draws.uniform()
        flipped, start = images, 0.0
        for prob, dims in self.ways:
            chosen = np.flatnonzero((start <= number) & (number < start + prob))
            start += prob
            if len(chosen):
                positions = upload(chosen, images.device)
                flipped = with_rows(flipped, positions, images.index_select(0, positions).flip(dims))
        return flipped
