"""Images on which the batched operations are compared with those of one image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Images = NDArray[np.uint8]


def example_images(height: int, width: int, seed: int = 0) -> Images:
    """Images of all kinds: noise, constant, of two values, a gradient, few values, smooth with texture, each twice.

    Args:
        height (int): Number of rows.
        width (int): Number of columns.
        seed (int): Of the random ones.

    Returns:
        NDArray: BGR, uint8 ``(12, H, W, 3)``.
    """
    rng = np.random.default_rng(seed)
    shape = (height, width, 3)
    images: list[NDArray] = []
    for _ in range(2):
        rows, columns = np.mgrid[:height, :width] / max(height, width)
        phase = rng.uniform(0, 6, (3, 2))
        smooth = np.stack([np.sin(7 * rows + a) * np.cos(5 * columns + b) for a, b in phase], axis=-1)
        images += [
            rng.integers(0, 256, shape),
            np.broadcast_to(rng.integers(0, 256, 3), shape),
            rng.choice(rng.integers(0, 256, 2), shape),
            np.broadcast_to(np.linspace(0, 255, width)[:, None], shape),
            rng.integers(90, 97, shape),
            np.clip(120 + 90 * smooth + rng.normal(0, 8, shape), 0, 255),
        ]
    return np.stack(images).astype(np.uint8)


def as_batch(images: Images) -> Tensor:
    """Turn images ``(M, H, W, 3)`` into a batch ``(M, 3, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def as_images(batch: Tensor) -> Images:
    """Turn a batch ``(M, 3, H, W)`` into images ``(M, H, W, 3)``."""
    return np.ascontiguousarray(batch.numpy().transpose(0, 2, 3, 1))


def assert_equals_per_image(
    batched: Callable[[Tensor, NDArray[np.float64]], Tensor],
    one_image: Callable[[Images, float], Images],
    numbers: NDArray[np.float64],
    images: Images,
) -> None:
    """Compare a batched operation with that of one image, for every number on every image.

    Args:
        batched (Callable): Operation on a batch ``(M, 3, H, W)`` and M numbers.
        one_image (Callable): Operation on an image ``(H, W, 3)`` and a number.
        numbers (NDArray): ``(K,)``.
        images (NDArray): uint8 ``(N, H, W, 3)``.
    """
    chosen, which = np.tile(np.arange(len(images)), len(numbers)), np.repeat(numbers, len(images))
    found = as_images(batched(as_batch(images[chosen]), which))
    for position, (index, number) in enumerate(zip(chosen, which, strict=True)):
        expected = one_image(images[index].copy(), float(number))
        wrong = found[position] != expected
        assert not wrong.any(), (
            f"number {number} on image {index}: {wrong.sum()} values differ, {found[position][wrong][:5]} instead of "
            f"{expected[wrong][:5]}"
        )
