"""Posterisation of RandAugment that rounds the number of bits down."""

from __future__ import annotations

import math

from mmpretrain.datasets.transforms import Posterize

from lt_plugins.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FloorPosterize(Posterize):
    """mmpretrain's ``Posterize`` with the drawn number of bits rounded down, as in PaCo's released code.

    ``Posterize`` rounds it up, so that level 9.9 of 10 keeps 4 of at most 4 bits instead of 3. The options are those of
    ``Posterize``.
    """

    def random_magnitude(self) -> float:
        """Draw how many bits are kept."""
        return math.floor(super().random_magnitude())
