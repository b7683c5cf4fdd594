"""Scaled boxes have the bits of ``cv2.resize``."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lt_plugins.augmentation.random_resized_crop import Box, Size, crop_and_resize
from tests.augmentation.images import Images, as_batch, as_images, example_images


def assert_equals_opencv(images: Images, boxes: Box, size: Size) -> None:
    found = as_images(crop_and_resize(as_batch(images), boxes, size))
    for image, result, top, left, height, width in zip(images, found, *boxes, strict=True):
        part = image[top : top + height, left : left + width]
        np.testing.assert_array_equal(result, cv2.resize(part, size[::-1], interpolation=cv2.INTER_LINEAR))


def boxes_of(heights: np.ndarray, widths: np.ndarray, image_size: Size) -> Box:
    """Boxes at random places."""
    rng = np.random.default_rng(0)
    return (
        rng.integers(0, image_size[0] - heights + 1),
        rng.integers(0, image_size[1] - widths + 1),
        heights,
        widths,
    )


@pytest.mark.parametrize("kind", range(6))
def test_every_box_of_a_small_image(kind: int) -> None:
    heights, widths = (side.ravel() + 1 for side in np.mgrid[:32, :32])
    image = example_images(32, 32)[kind]
    images = np.broadcast_to(image, (len(heights), *image.shape))
    assert_equals_opencv(images, boxes_of(heights, widths, (32, 32)), (32, 32))


@pytest.mark.parametrize(
    ("image_size", "size"),
    [((64, 64), (32, 32)), ((64, 64), (64, 64)), ((37, 70), (33, 20)), ((5, 9), (11, 7)), ((100, 90), (17, 16))],
)
def test_other_sizes(image_size: Size, size: Size) -> None:
    rng = np.random.default_rng(1)
    heights, widths = (rng.integers(1, extent + 1, 300) for extent in image_size)
    heights[:3], widths[:3] = image_size  # scaled by exactly one half, and not at all
    images = example_images(*image_size)[rng.integers(0, 12, 300)]
    assert_equals_opencv(images, boxes_of(heights, widths, image_size), size)
