"""Gaussian blur as of PIL: three box blurs along each axis, in fixed-point arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.augmentation.rows import put_rows
from lt_plugins.augmentation.upload import upload

_PASSES = 3
_ONE = 1 << 24  # the weights of a box are in these parts


def gaussian_blur(images: Tensor, radii: NDArray[np.float64]) -> Tensor:
    """Blur images, with the bits of ``PIL.ImageFilter.GaussianBlur``.

    Each pass is the mean over a box whose outermost pixels count in part, rounded to 8 bits. Beyond the border lies the
    border pixel.

    Source: Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended Box Filtering" (SSVM 2011).

    Args:
        images (Tensor): uint8 ``(M, C, H, W)``.
        radii (NDArray): Standard deviation of each image's blur in pixels, not negative; ``(M,)``.

    Returns:
        Tensor: Same shape.
    """
    blurred = torch.empty_like(images, memory_format=torch.contiguous_format)
    boxes = _Boxes.of_radii(radii)
    for reach in np.unique(boxes.reach):
        chosen = np.flatnonzero(boxes.reach == reach)
        rows = upload(chosen, images.device)
        # Of values between -128 and 127 the weighted sums fit into 32 bits.
        values = images.index_select(0, rows).int().sub_(128)
        shares = [
            upload(numbers[chosen].astype(np.int32), images.device).view(-1, 1, 1, 1)
            for numbers in (boxes.inner, boxes.end, boxes.rounding)
        ]
        for dim in (3, 2):
            values = _blur_along(values, dim, int(reach), *shares)
        put_rows(blurred, rows, values.add(128).byte())
    return blurred


def _blur_along(values: Tensor, dim: int, reach: int, inner: Tensor, end: Tensor, rounding: Tensor) -> Tensor:
    """Blur along one axis.

    Args:
        values (Tensor): int32 ``(M, C, H, W)``, from -128 to 127.
        dim (int): The axis.
        reach (int): How many pixels to each side count in full.
        inner (Tensor): Weight of these, int32 ``(M, 1, 1, 1)``.
        end (Tensor): Weight of the pixel beyond them, at each end.
        rounding (Tensor): What is added to the weighted sum.

    Returns:
        Tensor: Same shape.
    """
    border, length = reach + 1, values.shape[dim]
    shape = list(values.shape)
    shape[dim] += 2 * border
    extended = values.new_empty(shape)
    result = extended.narrow(dim, border, length).copy_(values)
    ends = (
        (extended.narrow(dim, 0, border), result.narrow(dim, 0, 1)),
        (extended.narrow(dim, border + length, border), result.narrow(dim, length - 1, 1)),
    )

    def pair(distance: int) -> Tensor:
        return extended.narrow(dim, border - distance, length) + extended.narrow(dim, border + distance, length)

    for _ in range(_PASSES):
        for beyond, last in ends:
            beyond.copy_(last)
        box = sum((pair(distance) for distance in range(1, border)), result)
        sums = (box * inner).add_(pair(border).mul_(end)).add_(rounding)
        torch.bitwise_right_shift(sums, 24, out=result)
    return result


@dataclass(frozen=True)
class _Boxes:
    """Boxes of a number of images: shape ``(M,)`` each, shares in 2^24ths.

    Args:
        reach (NDArray): How many pixels to each side count in full.
        inner (NDArray): Weight of these pixels.
        end (NDArray): Weight of the pixels beyond them.
        rounding (NDArray): One half, less what the weights lack of 1, times the 128 that the values are shifted by.
    """

    reach: NDArray[np.int64]
    inner: NDArray[np.int64]
    end: NDArray[np.int64]
    rounding: NDArray[np.int64]

    @classmethod
    def of_radii(cls, radii: NDArray[np.float64]) -> _Boxes:
        """Find the boxes whose passes together have these standard deviations, in single precision as PIL.

        Args:
            radii (NDArray): Shape ``(M,)``.
        """
        variance = radii.astype(np.float32) ** 2 / np.float32(_PASSES)
        length = np.sqrt(12.0 * variance.astype(np.float64) + 1.0).astype(np.float32)
        whole = np.floor((length.astype(np.float64) - 1.0) / 2.0).astype(np.float32)
        part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) * (whole + 1)))
        reach = (whole + part).astype(np.int64)
        inner = (np.float32(_ONE) / ((whole + part) * 2 + 1)).astype(np.int64)
        end = (_ONE - (2 * reach + 1) * inner) // 2
        missing = _ONE - (2 * reach + 1) * inner - 2 * end
        return cls(reach, inner, end, _ONE // 2 - 128 * missing)
