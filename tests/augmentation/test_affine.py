"""Affine maps: the pixels of OpenCV, over all magnitudes, and against a slow resampling in double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import cv2
import mmcv
import numpy as np
import pytest
from numpy.typing import NDArray

from lt_plugins.augmentation.affine import Interpolation, rotations, shears, translations, warp_affine
from tests.augmentation.images import as_batch, as_images, example_images

INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)
FILL = (10, 128, 250)
# OpenCV takes another order of operations in the last W % 16 columns; the sizes cover both.
SIZES = [(32, 32), (20, 48), (28, 45), (9, 16), (5, 7)]

Numbers = NDArray[np.float64]
MAPS: dict[str, tuple[Callable[[Numbers, int, int], NDArray[Any]], Callable[..., NDArray[Any]], Numbers]] = {
    "rotate": (
        lambda angles, height, width: rotations(angles, ((width - 1) / 2, (height - 1) / 2)),
        mmcv.imrotate,
        np.concatenate([np.linspace(-45, 45, 61), [30 * 2 / 9, 90, 180, 0.5]]),
    ),
    "shear-horizontal": (
        lambda magnitudes, height, width: shears(magnitudes, "horizontal"),
        lambda image, number, **settings: mmcv.imshear(image, number, direction="horizontal", **settings),
        np.concatenate([np.linspace(-0.5, 0.5, 41), 0.3 * np.arange(10) / 9]),
    ),
    "shear-vertical": (
        lambda magnitudes, height, width: shears(magnitudes, "vertical"),
        lambda image, number, **settings: mmcv.imshear(image, number, direction="vertical", **settings),
        np.concatenate([np.linspace(-0.5, 0.5, 41), 0.3 * np.arange(10) / 9]),
    ),
    "translate-horizontal": (
        lambda magnitudes, height, width: translations(magnitudes * width, "horizontal"),
        lambda image, number, **settings: mmcv.imtranslate(
            image, number * image.shape[1], direction="horizontal", **settings
        ),
        np.concatenate([np.linspace(-1.1, 1.1, 45), 150 / 331 * np.arange(10) / 9, np.arange(-9, 10) / 64]),
    ),
    "translate-vertical": (
        lambda magnitudes, height, width: translations(magnitudes * height, "vertical"),
        lambda image, number, **settings: mmcv.imtranslate(
            image, number * image.shape[0], direction="vertical", **settings
        ),
        np.concatenate([np.linspace(-1.1, 1.1, 45), 150 / 331 * np.arange(10) / 9, np.arange(-9, 10) / 64]),
    ),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("name", MAPS)
def test_equals_opencv(name: str, interpolation: Interpolation, size: tuple[int, int]) -> None:
    matrices, one_image, numbers = MAPS[name]
    images = example_images(*size)
    chosen, which = np.tile(np.arange(len(images)), len(numbers)), np.repeat(numbers, len(images))
    found = as_images(warp_affine(as_batch(images[chosen]), matrices(which, *size), interpolation, FILL))
    expected = np.stack(
        [
            one_image(images[index], float(number), border_value=FILL, interpolation=interpolation)
            for index, number in zip(chosen, which, strict=True)
        ]
    )
    wrong = found != expected
    fused_columns = size[1] - size[1] % 16
    assert not wrong[:, :, :fused_columns].any()
    assert wrong.mean() < 5e-5
    assert np.abs(found.astype(int) - expected).max() <= (0 if interpolation == "nearest" else 1)


@pytest.mark.parametrize("name", MAPS)
def test_each_image_has_a_matrix_of_its_own(name: str) -> None:
    matrices, _, numbers = MAPS[name]
    images = as_batch(example_images(12, 9))
    all_matrices = matrices(numbers[:12], 12, 9)
    for interpolation in INTERPOLATIONS:
        together = warp_affine(images, all_matrices, interpolation, FILL)
        for index in range(12):
            alone = warp_affine(images[index : index + 1], all_matrices[index : index + 1], interpolation, FILL)
            assert np.array_equal(together[index], alone[0])


def kernel(interpolation: Interpolation, distance: NDArray[Any]) -> NDArray[Any]:
    """Weight of a pixel by its distance to a place (Keys, 1981, with a = -0.75)."""
    x = np.abs(distance)
    if interpolation == "bilinear":
        return np.clip(1 - x, 0, None)
    near = 1.25 * x**3 - 2.25 * x**2 + 1
    far = -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_is_a_weighted_mean_of_the_pixels_around_the_place(interpolation: Interpolation) -> None:
    """Every pixel of a wide surrounding weighed by its distance, in double precision."""
    image = example_images(8, 10)[5]
    height, width = image.shape[:2]
    matrix = rotations(np.array([25.0]), (4.0, 3.0), scale=1.2)
    found = as_images(warp_affine(as_batch(image[None]), matrix, interpolation, FILL))[0]
    margin = 10
    surrounding = np.full((height + 2 * margin, width + 2 * margin, 3), FILL, dtype=np.float64)
    surrounding[margin:-margin, margin:-margin] = image
    inverse = np.linalg.inv(np.vstack([matrix[0], [0, 0, 1]]))
    for row in range(height):
        for column in range(width):
            x, y, _ = inverse @ [column, row, 1]
            by_row = kernel(interpolation, np.arange(-margin, height + margin) - y)
            by_column = kernel(interpolation, np.arange(-margin, width + margin) - x)
            expected = np.clip(np.einsum("h,w,hwc->c", by_row, by_column, surrounding), 0, 255)
            assert np.abs(found[row, column] - expected).max() < 0.501


def test_directions_and_signs() -> None:
    """A rotation by a positive angle is clockwise; shear and translation by positive numbers go right or down."""
    image = np.zeros((5, 5, 3), dtype=np.uint8)
    image[0, 2] = 255

    def bright_pixel(matrices: NDArray[Any]) -> tuple[int, int]:
        found = as_images(warp_affine(as_batch(image[None]), matrices, "nearest", (0, 0, 0)))[0, ..., 0]
        ((row, column),) = np.argwhere(found)
        return int(row), int(column)

    assert bright_pixel(rotations(np.array([90.0]), (2, 2))) == (2, 4)
    assert bright_pixel(translations(np.array([1.0]), "horizontal")) == (0, 3)
    assert bright_pixel(translations(np.array([2.0]), "vertical")) == (2, 2)
    assert bright_pixel(shears(np.array([1.0]), "vertical")) == (2, 2)
    image[0, 2], image[1, 2] = 0, 255
    assert bright_pixel(shears(np.array([1.0]), "horizontal")) == (1, 3)


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4])
def test_rotation_matrix(scale: float) -> None:
    angles = np.linspace(-180, 180, 50)
    expected = [cv2.getRotationMatrix2D((3.3, 7.7), -angle, scale) for angle in angles]
    np.testing.assert_allclose(rotations(angles, (3.3, 7.7), scale), expected, rtol=1e-14, atol=1e-14)
