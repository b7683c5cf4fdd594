"""Random part of an image, scaled to one size as OpenCV does."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.augmentation.draws import Draws
from lt_plugins.augmentation.upload import upload

Numbers = NDArray[np.int64]
Box = tuple[Numbers, Numbers, Numbers, Numbers]
Size = tuple[int, int]


class RandomResizedCrop:
    """Cuts a box of random area, aspect ratio and place out of each image and scales it to one size.

    A box that does not fit into the image is drawn again.

    Source: Szegedy et al., "Going Deeper with Convolutions" (arXiv:1409.4842), section 6.

    Args:
        size (Size): Height and width of the results.
        area_range (tuple[float, float]): Smallest and largest share of the image. Defaults to (0.08, 1).
        aspect_range (tuple[float, float]): Smallest and largest ratio of width to height, drawn on a logarithmic scale.
            Defaults to (3/4, 4/3).
        max_attempts (int): How often a box is drawn; then the largest central one of these ratios is taken. Defaults
            to 10.
    """

    def __init__(
        self,
        size: Size,
        area_range: tuple[float, float] = (0.08, 1.0),
        aspect_range: tuple[float, float] = (3 / 4, 4 / 3),
        max_attempts: int = 10,
    ) -> None:
        self.size = size
        self.area_range = area_range
        self.aspect_range = aspect_range
        self.max_attempts = max_attempts

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Cut and scale each image by a box of its own.

        Args:
            images (Tensor): uint8 ``(B, 3, H, W)``.
            draws (Draws): Random numbers of each image.

        Returns:
            Tensor: uint8 ``(B, 3, *size)``.
        """
        return crop_and_resize(images, self.draw_boxes(images.shape[2], images.shape[3], draws), self.size)

    def draw_boxes(self, image_height: int, image_width: int, draws: Draws) -> Box:
        """Draw a box of each image.

        Args:
            image_height (int): Height of the images.
            image_width (int): Width of the images.
            draws (Draws): Random numbers of each image.

        Returns:
            Box: Top, left, height and width, ``(B,)`` each.
        """
        down, right = draws.uniform(), draws.uniform()  # of the free space, drawn before the attempts
        top, left, height, width = (
            np.full(len(draws), value) for value in self._central_box(image_height, image_width)
        )
        undecided = np.ones(len(draws), dtype=np.bool_)
        log_aspects = [math.log(ratio) for ratio in self.aspect_range]
        for _ in range(self.max_attempts):
            area = image_height * image_width * draws.uniform(*self.area_range)
            aspect = np.exp(draws.uniform(*log_aspects))
            columns = np.rint(np.sqrt(area * aspect)).astype(np.int64)
            rows = np.rint(np.sqrt(area / aspect)).astype(np.int64)
            fits = (columns > 0) & (columns <= image_width) & (rows > 0) & (rows <= image_height)
            taken = undecided & fits
            height, width = np.where(taken, rows, height), np.where(taken, columns, width)
            top = np.where(taken, (down * (image_height - rows + 1)).astype(np.int64), top)
            left = np.where(taken, (right * (image_width - columns + 1)).astype(np.int64), left)
            undecided &= ~fits
            if not undecided.any():
                break
        return top, left, height, width

    def _central_box(self, image_height: int, image_width: int) -> tuple[int, int, int, int]:
        height, width = image_height, image_width
        if width / height < min(self.aspect_range):
            height = round(width / min(self.aspect_range))
        elif width / height > max(self.aspect_range):
            width = round(height * max(self.aspect_range))
        return (image_height - height) // 2, (image_width - width) // 2, height, width


def crop_and_resize(images: Tensor, boxes: Box, size: Size) -> Tensor:
    """Cut a box out of each image and scale it bilinearly, with the bits of ``cv2.resize`` of 8-bit images.

    OpenCV weighs two columns in 11 bits, then two rows of these sums.

    Args:
        images (Tensor): uint8 ``(B, 3, H, W)``.
        boxes (Box): Top, left, height and width of each box, ``(B,)``, inside of the image.
        size (Size): Height and width of the results.

    Returns:
        Tensor: uint8 ``(B, 3, *size)``.
    """
    top, left, height, width = boxes
    count, channels, image_height, _ = images.shape
    before, after, share_before, share_after = _neighbours(left, width, size[1], images.device)
    values = images.int()
    sums = values.gather(3, before[:, None, None].expand(-1, channels, image_height, -1)).mul_(
        share_before[:, None, None]
    )
    sums += values.gather(3, after[:, None, None].expand(-1, channels, image_height, -1)).mul_(
        share_after[:, None, None]
    )
    lines = (sums >> 4).view(-1, size[1])
    above, below, share_above, share_below = _neighbours(top, height, size[0], images.device, extends=True)
    first_line = torch.arange(count * channels, device=images.device).view(count, channels, 1) * image_height

    def weighted(rows: Tensor, shares: Tensor) -> Tensor:
        chosen = lines.index_select(0, (first_line + rows[:, None]).flatten())
        return chosen.view(count, channels, *size).mul_(shares[:, None, :, None]).bitwise_right_shift_(16)

    return (weighted(above, share_above) + weighted(below, share_below)).add_(2).bitwise_right_shift_(2).byte()


def _neighbours(
    start: Numbers, length: Numbers, out_length: int, device: torch.device, extends: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Find the two pixels along an axis between which each pixel of the result lies.

    Args:
        start (Numbers): First pixel of each box, ``(B,)``.
        length (Numbers): Number of its pixels, ``(B,)``.
        out_length (int): Number of pixels of the result.
        device (torch.device): Where the tensors go.
        extends (bool): Whether the border pixel takes both shares beyond the border, as OpenCV does with rows, instead
            of one share of 1, as it does with columns. Defaults to False.

    Returns:
        tuple[Tensor, Tensor, Tensor, Tensor]: Both places, int64 ``(B, out_length)``, and their shares in 2048ths,
        int32 ``(B, out_length)``.
    """
    scale = 1 / (out_length / length[:, None])
    places = ((np.arange(out_length) + 0.5) * scale - 0.5).astype(np.float32)
    before = np.floor(places).astype(np.int64)
    fraction = places - before.astype(np.float32)
    last = length[:, None] - 1
    if not extends:
        fraction[(before < 0) | (before >= last)] = 0
    shares = [np.rint(part * np.float32(2048)).astype(np.int32) for part in (1 - fraction, fraction)]
    ends = [start[:, None] + np.clip(place, 0, last) for place in (before, before + 1)]
    first, second, share_first, share_second = (upload(array, device) for array in (*ends, *shares))
    return first, second, share_first, share_second
