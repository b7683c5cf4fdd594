"""Order of the images of a batch: which occurrence of an image is its last one."""

from __future__ import annotations

import torch
from torch import Tensor


def last_occurrence(index: Tensor) -> Tensor:
    """Position of the last occurrence of each image of a batch, without waiting for the device.

    What is written to a buffer for each image then does not depend on the order of writing:
    ``buffer[index] = values[last_occurrence(index)]``.

    Args:
        index (Tensor): Indices of the images, int64 ``(B,)``.

    Returns:
        Tensor: Positions in the batch, int64 ``(B,)``.
    """
    ascending, order = torch.sort(index, stable=True)
    return order[torch.searchsorted(ascending, index.contiguous(), right=True) - 1]
