"""Affine maps of images: rotation, shear and translation, as OpenCV 5 resamples them.

``cv2.warpAffine`` works in single precision: it fuses a multiplication with an addition for the places of nearest and
bilinear pixels and for their blends, and rounds every step for the places of bicubic ones. The same is done here by
single operations that IEEE 754 defines, and a fused one by two in double precision and a conversion, so that every
device gives the same bits. OpenCV itself takes another order in the last ``W % 16`` columns, where a pixel in 50,000
is one level off.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.augmentation.upload import upload

Interpolation = Literal["nearest", "bilinear", "bicubic"]
Direction = Literal["horizontal", "vertical"]
Fill = tuple[int, int, int]
Matrices = NDArray[np.float64]

_SHARPNESS = -0.75  # of the bicubic kernel


def rotations(angles: NDArray[np.float64], centre: tuple[float, float], scale: float = 1.0) -> Matrices:
    """Matrices that rotate an image clockwise, as ``cv2.getRotationMatrix2D`` with the negative angle.

    Args:
        angles (NDArray): In degrees, ``(M,)``.
        centre (tuple[float, float]): Column and row that stay where they are.
        scale (float): How much larger the image becomes. Defaults to 1.

    Returns:
        NDArray: ``(M, 2, 3)``.
    """
    column, row = np.array(centre, dtype=np.float32).astype(np.float64)
    radians = -angles * (np.pi / 180)
    cos, sin = scale * np.cos(radians), scale * np.sin(radians)
    shift = (1 - cos) * column - sin * row, sin * column + (1 - cos) * row
    return _matrices(len(angles), cos, sin, shift[0], -sin, cos, shift[1])


def shears(magnitudes: NDArray[np.float64], direction: Direction) -> Matrices:
    """Matrices that move each row sideways by a multiple of its number, or each column downwards.

    Args:
        magnitudes (NDArray): Pixels for each row or column, ``(M,)``.
        direction (str): ``'horizontal'`` or ``'vertical'``.

    Returns:
        NDArray: ``(M, 2, 3)``, in single precision, as of mmcv.
    """
    slopes = _single(magnitudes)
    if direction == "horizontal":
        return _matrices(len(slopes), 1, slopes, 0, 0, 1, 0)
    return _matrices(len(slopes), 1, 0, 0, slopes, 1, 0)


def translations(offsets: NDArray[np.float64], direction: Direction) -> Matrices:
    """Matrices that move an image to the right or down.

    Args:
        offsets (NDArray): In pixels, ``(M,)``.
        direction (str): ``'horizontal'`` or ``'vertical'``.

    Returns:
        NDArray: ``(M, 2, 3)``, in single precision, as of mmcv.
    """
    offsets = _single(offsets)
    if direction == "horizontal":
        return _matrices(len(offsets), 1, 0, offsets, 0, 1, 0)
    return _matrices(len(offsets), 1, 0, 0, 0, 1, offsets)


def warp_affine(images: Tensor, matrices: Matrices, interpolation: Interpolation, fill: Fill) -> Tensor:
    """Map images, each by a matrix of its own.

    Args:
        images (Tensor): uint8 ``(M, 3, H, W)``, at most 4094 pixels high and wide, whose numbers float32 can count.
        matrices (NDArray): From places (column, row, 1) of the image to those of the result, ``(M, 2, 3)``.
        interpolation (str): ``'nearest'``, ``'bilinear'`` or ``'bicubic'``.
        fill (Fill): Pixel outside of the image, BGR.

    Returns:
        Tensor: Same shape.
    """
    inverse = _inverse(matrices).astype(np.float32)
    # Columns, or rows, that stay where they are need no neighbours. The CPU knows that, for all images at once.
    stays = (inverse == np.eye(2, 3, dtype=np.float32)).all(axis=(0, 2))
    places = _places(upload(inverse, images.device), images.shape[2], images.shape[3], fused=interpolation != "bicubic")
    source = _Source(images, fill)
    if interpolation == "nearest":
        columns, rows = (place.round() for place in places)
        return source.pixels(columns, rows)
    columns, rows = (place.floor() for place in places)
    x = None if stays[0] else places[0] - columns
    y = None if stays[1] else places[1] - rows
    resample = _bilinear if interpolation == "bilinear" else _bicubic
    return resample(source, columns, rows, x, y).round_().clamp_(0, 255).byte()


class _Source:
    """Pixels of images by their places, in single precision; a pixel beyond the border is the fill.

    Args:
        images (Tensor): uint8 ``(M, 3, H, W)``.
        fill (Fill): The pixel beyond the border.
    """

    def __init__(self, images: Tensor, fill: Fill) -> None:
        count, channels, self.height, self.width = images.shape
        border = upload(np.array(fill, dtype=np.uint8), images.device).view(1, channels, 1, 1)
        framed = border.repeat(count, 1, self.height + 2, self.width + 2)
        framed[:, :, 1:-1, 1:-1] = images
        self.flat = framed.flatten(2)

    def pixels(self, columns: Tensor, rows: Tensor) -> Tensor:
        """Take pixels.

        Args:
            columns (Tensor): Whole float32 ``(M, H, W)``, any size.
            rows (Tensor): Likewise.

        Returns:
            Tensor: uint8 ``(M, 3, H, W)``.
        """
        # Whatever lies beyond the border lies on the frame, one pixel wide.
        first = rows.clamp(-1, self.height).add_(1).mul_(self.width + 2)
        index = first.add_(columns.clamp(-1, self.width)).add_(1).long()
        index = index.flatten(1)[:, None].expand(-1, 3, -1)
        return self.flat.gather(2, index).view(-1, 3, *columns.shape[1:])


def _bilinear(source: _Source, columns: Tensor, rows: Tensor, x: Tensor | None, y: Tensor | None) -> Tensor:
    """Blend two or four pixels; None stands for whole places along an axis.

    Args:
        source (_Source): The images.
        columns (Tensor): Whole part of each place, ``(M, H, W)``.
        rows (Tensor): Likewise.
        x (Tensor | None): Fraction of each column, ``(M, H, W)``.
        y (Tensor | None): Fraction of each row.

    Returns:
        Tensor: float32 ``(M, 3, H, W)``.
    """

    def line(rows: Tensor) -> Tensor:
        first = source.pixels(columns, rows).float()
        return first if x is None else _blend_towards(first, source.pixels(columns + 1, rows).float(), x)

    return line(rows) if y is None else _blend_towards(line(rows), line(rows + 1), y)


def _blend_towards(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    return _fused(share[:, None], second - first, first)


def _bicubic(source: _Source, columns: Tensor, rows: Tensor, x: Tensor | None, y: Tensor | None) -> Tensor:
    """Weigh four or sixteen pixels; the arguments are those of :func:`_bilinear`.

    Returns:
        Tensor: float32 ``(M, 3, H, W)``.
    """

    def line(rows: Tensor) -> Tensor:
        if x is None:
            return source.pixels(columns, rows).float()
        return _weighted([source.pixels(columns + step, rows) for step in (-1, 0, 1, 2)], _bicubic_weights(x))

    return line(rows) if y is None else _weighted([line(rows + step) for step in (-1, 0, 1, 2)], _bicubic_weights(y))


def _weighted(values: list[Tensor], weights: list[Tensor]) -> Tensor:
    total = values[0] * weights[0]
    for value, weight in zip(values[1:], weights[1:], strict=True):
        total = _fused(weight, value, total)
    return total


def _bicubic_weights(x: Tensor) -> list[Tensor]:
    """Weights of four neighbours.

    Args:
        x (Tensor): How far a place lies between the second and the third, float32 ``(M, H, W)``.

    Returns:
        list[Tensor]: Four of ``(M, 1, H, W)``.
    """
    x = x[:, None]
    rest, square = 1 - x, x * x
    first = (rest * rest * x) * _SHARPNESS
    fourth = (square * rest) * _SHARPNESS
    second = _fused(square, _fused(x, _SHARPNESS + 2, -_SHARPNESS - 3), 1.0)
    return [first, second, 1 - first - second - fourth, fourth]


def _places(inverse: Tensor, height: int, width: int, fused: bool) -> tuple[Tensor, Tensor]:
    """Find where each pixel of the result comes from.

    Args:
        inverse (Tensor): From places of the result to those of the image, float32 ``(M, 2, 3)``.
        height (int): Height of the images.
        width (int): Width of the images.
        fused (bool): Whether the column enters by a fused multiplication and addition.

    Returns:
        tuple[Tensor, Tensor]: Columns and rows, float32 ``(M, H, W)``.
    """
    columns = torch.arange(width, device=inverse.device, dtype=torch.float32)
    rows = torch.arange(height, device=inverse.device, dtype=torch.float32)[:, None]
    found = []
    for line in inverse[..., None, None].unbind(1):
        by_column, by_row, offset = line.unbind(1)
        start = rows * by_row + offset
        found.append(_fused(by_column, columns, start) if fused else columns * by_column + start)
    return found[0], found[1]


def _fused(first: Tensor, second: Tensor | float, addend: Tensor | float) -> Tensor:
    """Give ``first * second + addend``, rounded once to single precision."""
    return (first.double() * second + addend).float()


def _inverse(matrices: Matrices) -> Matrices:
    """Invert affine maps, step by step as OpenCV.

    Args:
        matrices (NDArray): ``(M, 2, 3)``.

    Returns:
        NDArray: ``(M, 2, 3)``.
    """
    (a, b, column), (c, d, row) = np.moveaxis(matrices, 0, 2)
    factor = 1 / (a * d - b * c)
    a, b, c, d = d * factor, -b * factor, -c * factor, a * factor
    return _matrices(len(matrices), a, b, -a * column - b * row, c, d, -c * column - d * row)


def _matrices(count: int, *entries: NDArray[np.float64] | float) -> Matrices:
    """Put the six entries of matrices, ``(M,)`` or one for all, row by row into ``(M, 2, 3)``."""
    matrices = np.empty((count, 6))
    for place, values in enumerate(entries):
        matrices[:, place] = values
    return matrices.reshape(count, 2, 3)


def _single(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.astype(np.float32).astype(np.float64)
