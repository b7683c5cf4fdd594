"""Base of the transforms of a whole batch on the device of the model."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from lt_plugins.augmentation.draws import Draws


@runtime_checkable
class BatchedTransform(Protocol):
    """Transform of a batch: each image by parameters of its own.

    Everything random, and every table of floating-point origin, is computed on the CPU. On the device there are integer
    arithmetic, ``gather``, ``where``, and sums, products and conversions of floating-point numbers, one operation a
    kernel, which IEEE 754 rounds in one way only. So every device gives the same pixels, and none is waited for.
    """

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Transform a batch; the given tensor stays as it is.

        Args:
            images (Tensor): BGR images, uint8 ``(B, 3, H, W)``.
            draws (Draws): A stream of random numbers for each image.

        Returns:
            Tensor: uint8 ``(B, 3, H', W')``, the same size for all.
        """
