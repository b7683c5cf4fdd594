"""Random brightness, contrast, saturation and hue."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.augmentation.blending import adjust_saturation
from lt_plugins.augmentation.draws import Draws
from lt_plugins.augmentation.hue import adjust_hue
from lt_plugins.augmentation.lookup_tables import adjust_contrast, apply_tables, brightness_tables
from lt_plugins.augmentation.rows import put_rows
from lt_plugins.augmentation.upload import upload

Range = tuple[float, float]


class ColorJitter:
    """Changes brightness, contrast, saturation and hue by random amounts and in random order.

    Args:
        brightness (Range | None): Smallest and largest factor of all values. Defaults to None: it stays.
        contrast (Range | None): Those of the distance to the mean brightness. Defaults to None: it stays.
        saturation (Range | None): Those of the distance to gray. Defaults to None: it stays.
        hue (Range | None): Smallest and largest rotation, from -0.5 to 0.5 of the circle. Defaults to None: it stays.
    """

    def __init__(
        self,
        brightness: Range | None = None,
        contrast: Range | None = None,
        saturation: Range | None = None,
        hue: Range | None = None,
    ) -> None:
        steps = (
            (_adjust_brightness, brightness),
            (adjust_contrast, contrast),
            (adjust_saturation, saturation),
            (_rotate_hue, hue),
        )
        self.steps: list[tuple[Callable[[Tensor, NDArray[np.float64]], Tensor], Range]] = [
            (adjust, extent) for adjust, extent in steps if extent is not None
        ]

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Change each image by amounts of its own.

        Args:
            images (Tensor): BGR, uint8 ``(B, 3, H, W)``.
            draws (Draws): Random numbers of each image.

        Returns:
            Tensor: Same shape.
        """
        amounts = [draws.uniform(*extent) for _, extent in self.steps]
        ranks = np.array([draws.uniform() for _ in self.steps])
        changed = images.clone(memory_format=torch.contiguous_format)
        for step_of_image in np.argsort(ranks, axis=0):  # which step each image takes now, (B,)
            for number, (adjust, _) in enumerate(self.steps):
                chosen = np.flatnonzero(step_of_image == number)
                if len(chosen):
                    rows = upload(chosen, images.device)
                    put_rows(changed, rows, adjust(changed.index_select(0, rows), amounts[number][chosen]))
        return changed


def _adjust_brightness(images: Tensor, factors: NDArray[np.float64]) -> Tensor:
    return apply_tables(images, upload(brightness_tables(factors), images.device))


def _rotate_hue(images: Tensor, turns: NDArray[np.float64]) -> Tensor:
    return adjust_hue(images, np.trunc(turns * 255).astype(np.int64))
