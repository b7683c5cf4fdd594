"""Blends of two images, rounded as OpenCV rounds them: saturation, sharpness, and the mean of contrast.

OpenCV blends with one fused multiplication and addition in single precision. A product of a byte and a factor is exact
in double precision, where the addition is rounded far below single precision, so that two separate operations and one
conversion give the same bits. Each is rounded as IEEE 754 says, and so alike on every device.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.augmentation.upload import upload


def blend(images: Tensor, others: Tensor, factors: NDArray[np.float64]) -> Tensor:
    """Blend images: ``factor * image + (1 - factor) * other``, as ``cv2.addWeighted``.

    Args:
        images (Tensor): uint8 ``(M, ...)``.
        others (Tensor): uint8, of a shape that broadcasts to that of ``images``.
        factors (NDArray): Share of the images, ``(M,)``; above 1 the difference is exaggerated.

    Returns:
        Tensor: float32 ``(M, ...)``, neither rounded nor clipped.
    """
    shape = (-1,) + (1,) * (images.dim() - 1)
    own = upload(factors.astype(np.float32).astype(np.float64), images.device).view(shape)
    rest = upload((1 - factors).astype(np.float32), images.device).view(shape)
    return images.double().mul_(own).add_(others.float().mul_(rest).double()).float()


def as_bytes(values: Tensor) -> Tensor:
    """Clip to 0..255 and cut fractions off.

    Args:
        values (Tensor): float32, any shape; overwritten.

    Returns:
        Tensor: uint8, same shape.
    """
    return values.clamp_(0, 255).short().byte()  # by way of 16 bits, which takes the CPU a third of the time


def luma(images: Tensor) -> Tensor:
    """Brightness of pixels, as ``cv2.cvtColor`` to gray: ITU-R 601 in 15 bits.

    Args:
        images (Tensor): BGR, uint8 ``(M, 3, H, W)``.

    Returns:
        Tensor: uint8 ``(M, 1, H, W)``.
    """
    blue, green, red = (channel.int() for channel in images.split(1, dim=1))
    return blue.mul_(3735).add_(green, alpha=19235).add_(red, alpha=9798).add_(1 << 14).bitwise_right_shift_(15).byte()


def mean_luma(images: Tensor) -> Tensor:
    """Mean brightness of an image, a half rounded to the even neighbour.

    Args:
        images (Tensor): BGR, uint8 ``(M, 3, H, W)``.

    Returns:
        Tensor: uint8 ``(M, 1)``.
    """
    count = images.shape[2] * images.shape[3]
    doubled = 2 * luma(images).flatten(1).sum(dim=1, keepdim=True, dtype=torch.int32) + count
    mean = torch.div(doubled, 2 * count, rounding_mode="floor")
    half = doubled == mean * (2 * count)
    return (mean - (half & (mean % 2 == 1)).int()).byte()


def adjust_saturation(images: Tensor, factors: NDArray[np.float64]) -> Tensor:
    """Blend images with their gray ones, as ``mmcv.adjust_color``.

    Args:
        images (Tensor): BGR, uint8 ``(M, 3, H, W)``.
        factors (NDArray): 0 gives gray, 1 the image, 2 twice the saturation; ``(M,)``.

    Returns:
        Tensor: Same shape.
    """
    return as_bytes(blend(images, luma(images), factors).round_())


def adjust_sharpness(images: Tensor, factors: NDArray[np.float64]) -> Tensor:
    """Blend images with their smoothed ones, as ``mmcv.adjust_sharpness``; fractions are cut off.

    Args:
        images (Tensor): uint8 ``(M, 3, H, W)``.
        factors (NDArray): 0 gives the smoothed image, 1 the image, 2 a sharpened one; ``(M,)``.

    Returns:
        Tensor: Same shape.
    """
    return as_bytes(blend(images, smooth(images), factors))


def smooth(images: Tensor) -> Tensor:
    """Mean of the 3x3 neighbours, the pixel itself counted five times, as PIL's ``SMOOTH``; borders are mirrored.

    Args:
        images (Tensor): uint8 ``(M, C, H, W)``.

    Returns:
        Tensor: Same shape.
    """
    sums = images.short()
    for dim in (2, 3):
        before, after = _mirrored_neighbours(sums, dim)
        sums = sums + before + after
    # Thirteenths, rounded: (2 * sum + 13) // 26, with 1 / 26 as 40330 / 2^20, which is exact for sums up to 13 * 255.
    return ((sums + 4 * images.short()).int().mul_(2).add_(13).mul_(40330) >> 20).byte()


def _mirrored_neighbours(values: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Give the values before and after each along a dimension; beyond an end lies the value next to that end's."""
    length = values.shape[dim]
    inner = min(1, length - 1)
    before = torch.cat([values.narrow(dim, inner, 1), values.narrow(dim, 0, length - 1)], dim)
    after = torch.cat([values.narrow(dim, 1, length - 1), values.narrow(dim, length - 1 - inner, 1)], dim)
    return before, after
