"""Batched changes of the colour give the images of the per-image ones, equally often."""

from __future__ import annotations

from typing import Any

import mmcv
import numpy as np
import pytest

from lt_plugins.datasets.batched_forms import batched_form
from lt_plugins.errors import UserInputError
from tests.augmentation.images import example_images
from tests.datasets.batched_forms.outcomes import assert_same_outcomes, batched, build, random_image


def jitter(**ranges: Any) -> dict[str, Any]:
    return dict(type="ColorJitter", backend="cv2", **ranges)


def test_order_of_jitter() -> None:
    """With constant amounts the order is all that is random; 24 orders give as many images."""
    config = jitter(brightness=(1.3, 1.3), contrast=(0.6, 0.6), saturation=(1.4, 1.4), hue=(0.08, 0.08))
    assert_same_outcomes(config, random_image(9, 7), 3000)


def test_order_of_two_steps() -> None:
    assert_same_outcomes(jitter(contrast=(1.5, 1.5), hue=(-0.3, -0.3)), random_image(4, 4))


@pytest.mark.parametrize(
    "ranges",
    [
        dict(brightness=0.4),
        dict(brightness=(0.1, 2.5)),
        dict(brightness=1.5),
        dict(contrast=0.4),
        dict(saturation=0.4),
        dict(saturation=(0.5, 3)),
        dict(hue=0.1),
        dict(hue=(0.0, 0.5)),
        dict(),
    ],
    ids=str,
)
def test_amounts_of_jitter(ranges: dict[str, Any]) -> None:
    assert_same_outcomes(jitter(**ranges), np.array([[[20, 60, 220]], [[90, 30, 40]]], dtype=np.uint8))


def test_jitter_of_each_image_by_its_own_amounts() -> None:
    images = example_images(8, 8)
    images = np.concatenate([images] * 20)
    contrasted = batched(jitter(contrast=0.4), images)
    factors = np.linspace(0.6, 1.4, 801)
    matches = [
        any(np.array_equal(mmcv.adjust_contrast(image, factor, backend="cv2"), result) for factor in factors)
        for image, result in zip(images[1::12], contrasted[1::12], strict=True)
    ]
    assert all(matches)
    assert len({image.tobytes() for image in contrasted[0::12]}) == 20


@pytest.mark.parametrize("weights", [(0.114, 0.587, 0.299), (1.0, 1.0, 1.0), (1, 2, 3)])
def test_gray_levels(weights: tuple[float, float, float]) -> None:
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, 4, -1, 3)
    config = dict(type="RandomGrayscale", prob=1.0, keep_channels=True, channel_weights=weights)
    np.testing.assert_array_equal(batched(config, colours)[0], build(config)({"img": colours[0]})["img"])


@pytest.mark.parametrize("color_format", ["bgr", "rgb"])
def test_random_grayscale(color_format: str) -> None:
    config = dict(type="RandomGrayscale", prob=0.2, keep_channels=True, color_format=color_format)
    assert_same_outcomes(config, random_image(4, 5))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(type="ColorJitter", hue=0.1), "ColorJitter has no batched form with backend='pillow'; use backend='cv2'"),
        (dict(type="RandomGrayscale"), "with keep_channels=False; use keep_channels=True, or --no-resident"),
        (dict(type="RandomGrayscale", keep_channels=True, color_format="hsv"), "with color_format='hsv'; use"),
    ],
)
def test_refused_settings(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        batched_form(build(config))
