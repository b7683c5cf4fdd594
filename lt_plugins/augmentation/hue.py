"""Rotation of the hue as of OpenCV's 8-bit HSV."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.augmentation.upload import upload

_FULL = 255 * 255  # a share of the value: saturation times distance on the circle, both of 255
_RECIPROCAL = float(np.float32(1 / _FULL))

_NUMBERS = np.arange(1, 256)
_SATURATION_SCALES = np.concatenate([[0], np.rint((255 << 12) / _NUMBERS)]).astype(np.int32)
_HUE_SCALES = np.concatenate([[0], np.rint((256 << 12) / (6.0 * _NUMBERS))]).astype(np.int32)

# What full saturation takes from blue, green and red: a line over the distance to an angle, which is 255 a sector.
_TAKEN = np.array([[1020, 1, -255], [510, 1, -255], [765, -1, 510]], dtype=np.int32)  # angle, slope, offset


def adjust_hue(images: Tensor, shifts: NDArray[np.int64]) -> Tensor:
    """Rotate the hue, as ``mmcv.adjust_hue``: to 8-bit HSV (``cv2.COLOR_BGR2HSV_FULL``) and back.

    OpenCV computes the way back in single precision. Here it is exact and rounded once: 92 of the 16.8 million HSV
    colours come out one level off.

    Args:
        images (Tensor): BGR, uint8 ``(M, 3, H, W)``.
        shifts (NDArray): Rotation in 256ths of the circle, ``(M,)``.

    Returns:
        Tensor: Same shape.
    """
    hue, saturation, value = _to_hsv(images)
    hue = hue.add_(upload(shifts.astype(np.int32), images.device).view(-1, 1, 1)).bitwise_and_(255)
    # From 0 to 1530, 255 a sector: OpenCV divides the circle by 256 on the way to HSV, and by 255 on the way back.
    angle = hue.mul_(6)
    # How much of the value full saturation takes from each channel, from 0 to 255.
    centres, slopes, offsets = (upload(column, images.device).view(3, 1, 1) for column in _TAKEN.T)
    taken = (angle[:, None] - centres).abs_().mul_(slopes).add_(offsets).clamp_(0, 255)
    parts = (_FULL - taken.mul_(saturation[:, None])).mul_(value[:, None])
    return _rounded_quotient(parts).byte()


def _to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Convert to OpenCV's 8-bit HSV; a negative hue is not yet turned around the circle.

    Args:
        images (Tensor): BGR, uint8 ``(M, 3, H, W)``.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Hue in 256ths of the circle, saturation and value, int32 ``(M, H, W)``.
    """
    blue, green, red = images.unbind(1)
    highest = torch.maximum(torch.maximum(blue, green), red)
    extent = highest - torch.minimum(torch.minimum(blue, green), red)
    is_red, is_green = highest == red, highest == green
    value, width = highest.int(), extent.int()
    blue, green, red = images.int().unbind(1)
    green_sector = (blue - red).add_(width, alpha=2)
    blue_sector = (red - green).add_(width, alpha=4)
    hue = torch.where(is_red, green - blue, torch.where(is_green, green_sector, blue_sector))
    hue = hue.mul_(_look_up(_HUE_SCALES, width)).add_(1 << 11).bitwise_right_shift_(12)
    saturation = width.mul_(_look_up(_SATURATION_SCALES, value)).add_(1 << 11).bitwise_right_shift_(12)
    return hue, saturation, value


def _look_up(table: NDArray[np.int32], index: Tensor) -> Tensor:
    return upload(table, index.device).index_select(0, index.flatten()).view(index.shape)


def _rounded_quotient(parts: Tensor) -> Tensor:
    """Divide by 255 * 255 and round, with the right result for every number from 0 to 255 * 255 * 255.

    Args:
        parts (Tensor): int32, any shape.

    Returns:
        Tensor: int32, same shape.
    """
    return parts.float().mul_(_RECIPROCAL).add_(0.5).int()
