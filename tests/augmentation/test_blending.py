"""Blends of an image with its gray or smoothed one: the values of mmcv, bit for bit."""

from __future__ import annotations

from fractions import Fraction

import cv2
import mmcv
import numpy as np
import pytest
import torch

from lt_plugins.augmentation.blending import adjust_saturation, adjust_sharpness, blend, luma, mean_luma, smooth
from tests.augmentation.images import as_batch, as_images, assert_equals_per_image, example_images

SIZES = [(32, 32), (28, 45), (1, 3), (7, 1), (2, 2)]
FACTORS = np.unique(
    np.concatenate([np.arange(0, 2.05, 0.05), 1 + np.linspace(-0.9, 0.9, 19), np.geomspace(1e-3, 8, 40)])
)


def fused(factor: float, image: int, other: int) -> np.float32:
    """``factor * image + (1 - factor) * other`` in exact arithmetic, rounded where single precision rounds it."""
    product = Fraction(float(np.float32(1 - factor) * np.float32(other)))
    total = Fraction(float(np.float32(factor))) * image + product
    return np.float32(
        total.numerator / total.denominator
    )  # a quotient of integers is rounded once, to double precision


@pytest.mark.parametrize("factor", [0.1, 0.7, 1.3, 1.9, 1 / 3, 1e-3])
def test_blend_is_one_fused_multiplication_and_addition(factor: float) -> None:
    image, other = np.random.default_rng(0).integers(0, 256, (2, 500), dtype=np.uint8)
    found = blend(torch.from_numpy(image)[None], torch.from_numpy(other)[None], np.array([factor]))[0]
    assert found.dtype == torch.float32
    assert found.tolist() == [float(fused(factor, int(a), int(b))) for a, b in zip(image, other, strict=True)]


@pytest.mark.parametrize("size", SIZES)
def test_luma(size: tuple[int, int]) -> None:
    images = example_images(*size)
    expected = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[None] for image in images]
    assert np.array_equal(luma(as_batch(images)), expected)


def test_luma_of_many_colours() -> None:
    colours = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3), axis=-1).reshape(1, 52, -1, 3).astype(np.uint8)
    assert np.array_equal(luma(as_batch(colours))[0, 0], cv2.cvtColor(colours[0], cv2.COLOR_BGR2GRAY))


def test_mean_luma_rounds_a_half_to_the_even_neighbour() -> None:
    images = np.zeros((4, 1, 4, 3), dtype=np.uint8)
    for image, values in zip(images, ([1, 2, 1, 2], [2, 3, 2, 3], [2, 2, 2, 3], [255, 255, 255, 254]), strict=True):
        image[:] = np.array(values)[:, None]
    assert mean_luma(as_batch(images)).tolist() == [[2], [2], [2], [255]]


@pytest.mark.parametrize("size", SIZES)
def test_saturation(size: tuple[int, int]) -> None:
    assert_equals_per_image(adjust_saturation, mmcv.adjust_color, FACTORS, example_images(*size))


@pytest.mark.parametrize("size", SIZES)
def test_smooth_is_the_mean_of_the_neighbours(size: tuple[int, int]) -> None:
    images = example_images(*size)
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    for image, found in zip(images, as_images(smooth(as_batch(images))), strict=True):
        assert np.array_equal(found, cv2.filter2D(image, -1, kernel))
        rows, columns = (np.pad(np.arange(extent), 1, mode="reflect") for extent in size)
        padded = image[rows][:, columns].astype(np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
        assert np.array_equal(found, np.rint((windows * kernel).sum(axis=(-2, -1))))


def test_smooth_divides_every_sum_by_thirteen() -> None:
    """Constant neighbours and a centre of its own: all sums that 3x3 bytes can have."""
    neighbours, centre = (values.ravel() for values in np.meshgrid(np.arange(256), np.arange(256)))
    images = torch.from_numpy(neighbours.astype(np.uint8)).view(-1, 1, 1, 1).repeat(1, 1, 3, 3)
    images[:, 0, 1, 1] = torch.from_numpy(centre.astype(np.uint8))
    assert np.array_equal(smooth(images)[:, 0, 1, 1], np.rint((8 * neighbours + 5 * centre) / 13))


@pytest.mark.parametrize("size", SIZES)
def test_sharpness(size: tuple[int, int]) -> None:
    assert_equals_per_image(adjust_sharpness, mmcv.adjust_sharpness, FACTORS, example_images(*size))
