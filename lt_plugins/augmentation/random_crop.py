"""Random crop of a padded image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lt_plugins.augmentation.draws import Draws
from lt_plugins.augmentation.upload import upload

Sides = tuple[int, int, int, int]


class RandomCrop:
    """Pads images, then cuts a window at a random place, every place equally often.

    A padded image that is smaller than the window keeps its size in that direction.

    Args:
        size (tuple[int, int]): Height and width of the window.
        padding (Sides): Constant padding left, above, right and below. Defaults to none.
        fill (tuple[int, int, int]): Pixel of constant padding, BGR. Defaults to black.
        pad_if_needed (bool): Whether to pad further what is smaller than the window, by as much on both sides. Defaults
            to False.
        padding_mode (str): What ``pad_if_needed`` pads with: ``'constant'``, ``'edge'``, ``'reflect'`` or
            ``'symmetric'``, as in :func:`numpy.pad`. Defaults to ``'constant'``.
    """

    def __init__(
        self,
        size: tuple[int, int],
        padding: Sides = (0, 0, 0, 0),
        fill: tuple[int, int, int] = (0, 0, 0),
        pad_if_needed: bool = False,
        padding_mode: str = "constant",
    ) -> None:
        self.size = size
        self.padding = padding
        self.fill = fill
        self.pad_if_needed = pad_if_needed
        self.padding_mode = padding_mode

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Crop each image at a place of its own.

        Args:
            images (Tensor): uint8 ``(B, 3, H, W)``.
            draws (Draws): Random numbers of each image.

        Returns:
            Tensor: uint8 ``(B, 3, min(h, size[0]), min(w, size[1]))`` of padded images ``(B, 3, h, w)``.
        """
        padded = pad_constant(images, self.padding, self.fill)
        if self.pad_if_needed:
            padded = self._pad_to_size(padded)
        height, width = (min(wanted, given) for wanted, given in zip(self.size, padded.shape[2:], strict=True))
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, 3, places, places, height, width), a view
        top, left = (upload(draws.integers(0, places), images.device) for places in windows.shape[2:4])
        return windows[torch.arange(len(images), device=images.device), :, top, left]

    def _pad_to_size(self, images: Tensor) -> Tensor:
        rows, columns = (
            max(0, wanted - given + 1) // 2 for wanted, given in zip(self.size, images.shape[2:], strict=True)
        )
        if self.padding_mode == "constant":
            return pad_constant(images, (columns, rows, columns, rows), self.fill)
        for dim, amount in ((2, rows), (3, columns)):
            if amount:
                source = np.pad(np.arange(images.shape[dim]), amount, mode=self.padding_mode)  # type: ignore[call-overload]
                images = images.index_select(dim, upload(source, images.device))
        return images


def pad_constant(images: Tensor, sides: Sides, fill: tuple[int, int, int]) -> Tensor:
    """Pad images with one colour.

    Args:
        images (Tensor): uint8 ``(B, 3, H, W)``.
        sides (Sides): Pixels left, above, right and below.
        fill (tuple[int, int, int]): Pixel of the padding, BGR.

    Returns:
        Tensor: uint8 ``(B, 3, above + H + below, left + W + right)``.
    """
    if not any(sides):
        return images
    left, above, right, below = sides
    batch, channels, height, width = images.shape
    padded = images.new_empty(batch, channels, above + height + below, left + width + right)
    for channel, value in enumerate(fill):
        padded[:, channel].fill_(value)
    padded[:, :, above : above + height, left : left + width] = images
    return padded
