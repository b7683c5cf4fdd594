"""Operations that map each value of a pixel by itself: a table of 256 entries for each image or channel."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.augmentation.blending import as_bytes, blend, mean_luma
from lt_plugins.augmentation.upload import upload

Tables = NDArray[np.uint8]
Numbers = NDArray[np.float64]

_VALUES = np.arange(256, dtype=np.uint8)


def apply_tables(images: Tensor, tables: Tensor) -> Tensor:
    """Look every value up in a table.

    Args:
        images (Tensor): uint8 ``(M, C, H, W)``.
        tables (Tensor): uint8, one table an image, ``(M, 256)``, or one a channel, ``(M * C, 256)``.

    Returns:
        Tensor: Same shape as ``images``.
    """
    values = images.reshape(len(tables), -1)
    return tables.gather(1, values.long()).view(images.shape)


def inversion_tables(count: int) -> Tables:
    """Negatives, as ``mmcv.iminvert``.

    Args:
        count (int): Number of tables M.

    Returns:
        NDArray: uint8 ``(M, 256)``.
    """
    return np.tile(255 - _VALUES, (count, 1))


def posterization_tables(bits: NDArray[np.int64]) -> Tables:
    """Keep the upper bits, as ``mmcv.posterize``.

    Args:
        bits (NDArray): How many, at most 8; none is left of 0 or fewer. ``(M,)``.

    Returns:
        NDArray: uint8 ``(M, 256)``.
    """
    shift = np.minimum(8 - bits, 8)[:, None]
    return (_VALUES.astype(np.int64) >> shift << shift).astype(np.uint8)


def solarization_tables(thresholds: Numbers) -> Tables:
    """Invert values from a threshold on, as ``mmcv.solarize``.

    Args:
        thresholds (NDArray): ``(M,)``.

    Returns:
        NDArray: uint8 ``(M, 256)``.
    """
    return np.where(thresholds[:, None] > _VALUES, _VALUES, 255 - _VALUES)


def addition_tables(additions: Numbers, threshold: float) -> Tables:
    """Add to values below a threshold, as mmpretrain's ``SolarizeAdd``; fractions are cut off.

    Args:
        additions (NDArray): What is added, not negative; ``(M,)``.
        threshold (float): Values from here on stay as they are.

    Returns:
        NDArray: uint8 ``(M, 256)``.
    """
    added = np.minimum(_VALUES + additions[:, None], 255).astype(np.uint8)
    return np.where(threshold > _VALUES, added, _VALUES)


def brightness_tables(factors: Numbers) -> Tables:
    """Multiply, as ``mmcv.adjust_brightness``, in single precision; fractions are cut off.

    Args:
        factors (NDArray): 0 gives black, 1 the image; ``(M,)``.

    Returns:
        NDArray: uint8 ``(M, 256)``.
    """
    products = _VALUES.astype(np.float32) * factors.astype(np.float32)[:, None]
    return np.clip(products, 0, 255).astype(np.uint8)


def adjust_contrast(images: Tensor, factors: Numbers) -> Tensor:
    """Blend images with their mean brightness, as ``mmcv.adjust_contrast``; fractions are cut off.

    Args:
        images (Tensor): BGR, uint8 ``(M, 3, H, W)``.
        factors (NDArray): 0 gives gray, 1 the image, 2 twice the contrast; ``(M,)``.

    Returns:
        Tensor: Same shape.
    """
    values = upload(_VALUES, images.device).expand(len(images), 256)
    tables = as_bytes(blend(values, mean_luma(images), factors))
    return apply_tables(images, tables)


def auto_contrast(images: Tensor) -> Tensor:
    """Stretch each channel to 0..255, as ``mmcv.auto_contrast``; fractions are cut off.

    A channel of one value stays as it is.

    Args:
        images (Tensor): uint8 ``(M, C, H, W)``.

    Returns:
        Tensor: Same shape.
    """
    channels = images.flatten(2).flatten(0, 1)
    low, high = channels.amin(1, keepdim=True), channels.amax(1, keepdim=True)
    extent = (high - low).long()
    low = low * (extent > 0)
    # The quotients of all extents come from the CPU: how a GPU divides is its own affair.
    quotients = np.concatenate([[1.0], 255.0 / np.arange(1, 256)])
    scale = upload(quotients, images.device)[extent]
    values = upload(_VALUES.astype(np.float64), images.device)
    return apply_tables(images, (values * scale - low * scale).clamp_(0, 255).byte())


def equalize(images: Tensor) -> Tensor:
    """Equalise the histogram of each channel, as ``mmcv.imequalize`` and PIL.

    Args:
        images (Tensor): uint8 ``(M, C, H, W)``.

    Returns:
        Tensor: Same shape.
    """
    channels = images.flatten(2).flatten(0, 1).long()
    one = torch.ones((), dtype=torch.int32, device=images.device)
    histogram = torch.zeros(len(channels), 256, dtype=torch.int32, device=images.device)
    histogram.scatter_add_(1, channels, one.expand(channels.shape))
    largest = histogram.gather(1, channels.amax(1, keepdim=True))
    step = torch.div(channels.shape[1] - largest, 255, rounding_mode="floor")
    below = histogram.cumsum(1, dtype=torch.int32) - histogram
    divisor = step.clamp(min=1)
    equalized = torch.div(below + divisor.bitwise_right_shift(1), divisor, rounding_mode="floor").clamp_(max=255).byte()
    tables = torch.where(step > 0, equalized, upload(_VALUES, images.device))
    return tables.gather(1, channels).view(images.shape)
