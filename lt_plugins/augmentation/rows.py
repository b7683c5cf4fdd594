"""Writes some images of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

_WORDS = (torch.int64, torch.int32, torch.int16, torch.uint8)


def with_rows(images: Tensor, rows: Tensor, changed: Tensor) -> Tensor:
    """Copy a batch with other images in some places.

    Args:
        images (Tensor): uint8 ``(B, ...)``.
        rows (Tensor): The places, int64 ``(M,)``, without repetition.
        changed (Tensor): The other images, uint8 ``(M, ...)``.

    Returns:
        Tensor: A new tensor ``(B, ...)``.
    """
    return put_rows(images.clone(memory_format=torch.contiguous_format), rows, changed)


def put_rows(images: Tensor, rows: Tensor, changed: Tensor) -> Tensor:
    """Write images into some places of a batch.

    Args:
        images (Tensor): uint8 ``(B, ...)``, contiguous; overwritten.
        rows (Tensor): The places, int64 ``(M,)``, without repetition.
        changed (Tensor): The images, uint8 ``(M, ...)``.

    Returns:
        Tensor: ``images``.
    """
    size = images[0].numel()
    word = next(word for word in _WORDS if size % word.itemsize == 0)
    # torch copies element by element: words of 8 bytes take the CPU a sixth of the time.
    images.view(len(images), size).view(word).index_copy_(0, rows, changed.reshape(len(changed), size).view(word))
    return images
