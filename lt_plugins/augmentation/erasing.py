"""Random rectangles of one colour: Cutout and random erasing."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.augmentation.draws import Draws
from lt_plugins.augmentation.upload import upload

Colour = tuple[int, int, int]


class ClippedCutout:
    """Erases a square around a random pixel; what lies outside of the image is clipped.

    Args:
        size (int): Side of the square in pixels.
        fill (Colour): Erased pixels, BGR. Defaults to black.
        prob (float): Probability that an image is changed. Defaults to 1.
    """

    def __init__(self, size: int, fill: Colour = (0, 0, 0), prob: float = 1.0) -> None:
        self.size = size
        self.fill = fill
        self.prob = prob

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Erase a square of each image.

        Args:
            images (Tensor): uint8 ``(B, 3, H, W)``.
            draws (Draws): Random numbers of each image.

        Returns:
            Tensor: Same shape.
        """
        chosen = draws.happens(self.prob)
        top, left = (draws.integers(0, extent) - self.size // 2 for extent in images.shape[2:])
        return fill_boxes(images, top, left, self.size * chosen, self.size * chosen, self.fill)


class Cutout:
    """Erases a rectangle around a random place; one that begins outside of the image is moved inside.

    The place is drawn between 1 and the extent of the image, as mmcv does, which spares the first row and column.

    Args:
        size (tuple[int, int]): Height and width of the rectangle.
        fill (Colour): Erased pixels, BGR. Defaults to black.
        prob (float): Probability that an image is changed. Defaults to 1.
    """

    def __init__(self, size: tuple[int, int], fill: Colour = (0, 0, 0), prob: float = 1.0) -> None:
        self.size = size
        self.fill = fill
        self.prob = prob

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Erase a rectangle of each image.

        Args:
            images (Tensor): uint8 ``(B, 3, H, W)``.
            draws (Draws): Random numbers of each image.

        Returns:
            Tensor: Same shape.
        """
        chosen = draws.happens(self.prob)
        top, left = (
            np.maximum(0, draws.uniform(extent, 1) - side / 2).astype(np.int64)
            for extent, side in zip(images.shape[2:], self.size, strict=True)
        )
        return fill_boxes(images, top, left, self.size[0] * chosen, self.size[1] * chosen, self.fill)


class RandomErasing:
    """Erases a rectangle of random area and aspect ratio.

    Source: Zhong et al., "Random Erasing Data Augmentation" (arXiv:1708.04896).

    Args:
        prob (float): Probability that an image is changed.
        area_range (tuple[float, float]): Smallest and largest share of the image that is erased.
        aspect_range (tuple[float, float]): Smallest and largest ratio of height to width, drawn on a logarithmic scale.
        fill (Colour): Erased pixels, BGR.
    """

    def __init__(
        self, prob: float, area_range: tuple[float, float], aspect_range: tuple[float, float], fill: Colour
    ) -> None:
        self.prob = prob
        self.area_range = area_range
        self.aspect_range = aspect_range
        self.fill = fill

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Erase a rectangle of each image.

        Args:
            images (Tensor): uint8 ``(B, 3, H, W)``.
            draws (Draws): Random numbers of each image.

        Returns:
            Tensor: Same shape.
        """
        image_height, image_width = images.shape[2:]
        chosen = draws.happens(self.prob)
        aspect = np.exp(draws.uniform(*(math.log(ratio) for ratio in self.aspect_range)))
        area = image_height * image_width * draws.uniform(*self.area_range)
        height = np.minimum(np.rint(np.sqrt(area * aspect)), image_height).astype(np.int64)
        width = np.minimum(np.rint(np.sqrt(area / aspect)), image_width).astype(np.int64)
        # The last place is never drawn, as in mmpretrain.
        top = (draws.uniform() * (image_height - height)).astype(np.int64)
        left = (draws.uniform() * (image_width - width)).astype(np.int64)
        return fill_boxes(images, top, left, height * chosen, width * chosen, self.fill)


def fill_boxes(
    images: Tensor,
    top: NDArray[np.int64],
    left: NDArray[np.int64],
    height: NDArray[np.int64],
    width: NDArray[np.int64],
    fill: Colour,
) -> Tensor:
    """Fill a box of each image with one colour.

    Args:
        images (Tensor): uint8 ``(B, 3, H, W)``.
        top (NDArray): First row of each box, ``(B,)``; a box may hang over any border.
        left (NDArray): First column, ``(B,)``.
        height (NDArray): Number of rows, ``(B,)``; 0 leaves the image as it is.
        width (NDArray): Number of columns, ``(B,)``.
        fill (Colour): The pixel, BGR.

    Returns:
        Tensor: Same shape.
    """
    rows, columns = (
        upload((places >= begin[:, None]) & (places < (begin + extent)[:, None]), images.device)
        for places, begin, extent in (
            (np.arange(images.shape[2]), top, height),
            (np.arange(images.shape[3]), left, width),
        )
    )
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    if len(set(fill)) == 1:
        return images.masked_fill(inside, fill[0])
    return torch.where(inside, upload(np.array(fill, dtype=np.uint8), images.device).view(1, 3, 1, 1), images)
