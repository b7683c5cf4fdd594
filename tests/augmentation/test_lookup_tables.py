"""Operations by lookup tables: the values of mmcv and mmpretrain, for every magnitude."""

from __future__ import annotations

import mmcv
import numpy as np
import pytest
import torch
from mmpretrain.datasets.transforms import SolarizeAdd

from lt_plugins.augmentation import lookup_tables
from tests.augmentation.images import as_batch, as_images, assert_equals_per_image, example_images

SIZES = [(32, 32), (28, 45), (1, 3), (7, 1)]
VALUES = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)  # an image of all values
FACTORS = np.unique(
    np.concatenate([np.arange(0, 2.05, 0.05), 1 + np.linspace(-0.9, 0.9, 19), np.geomspace(1e-3, 8, 40)])
)


def test_each_image_has_a_table_of_its_own() -> None:
    tables = np.random.default_rng(0).integers(0, 256, (12, 256), dtype=np.uint8)
    images = example_images(5, 4)
    found = as_images(lookup_tables.apply_tables(as_batch(images), torch.from_numpy(tables)))
    assert np.array_equal(found, [table[image] for table, image in zip(tables, images, strict=True)])


def test_each_channel_has_a_table_of_its_own() -> None:
    tables = np.random.default_rng(0).integers(0, 256, (12, 3, 256), dtype=np.uint8)
    images = example_images(5, 4)
    found = as_images(lookup_tables.apply_tables(as_batch(images), torch.from_numpy(tables.reshape(36, 256))))
    for channel in range(3):
        expected = [table[image] for table, image in zip(tables[:, channel], images[..., channel], strict=True)]
        assert np.array_equal(found[..., channel], expected)


def test_inversion() -> None:
    assert np.array_equal(lookup_tables.inversion_tables(2), np.tile(mmcv.iminvert(VALUES)[0, :, 0], (2, 1)))


def test_posterization() -> None:
    bits = np.arange(0, 9)
    expected = [mmcv.posterize(VALUES, int(count))[0, :, 0] for count in bits]
    assert np.array_equal(lookup_tables.posterization_tables(bits), expected)
    assert not lookup_tables.posterization_tables(np.array([-1, -5])).any()


def test_solarization() -> None:
    thresholds = np.unique(np.concatenate([np.arange(-1, 258), 256 - 256 * np.arange(10) / 9, np.linspace(0, 256, 41)]))
    expected = [mmcv.solarize(VALUES, float(threshold))[0, :, 0] for threshold in thresholds]
    assert np.array_equal(lookup_tables.solarization_tables(thresholds), expected)


@pytest.mark.parametrize("threshold", [128, 0, 99.5, 256])
def test_addition(threshold: float) -> None:
    additions = np.concatenate([np.arange(0.0, 257.0), np.linspace(0, 110, 41)])
    expected = [
        SolarizeAdd(magnitude=float(addition), thr=threshold, prob=1.0)({"img": VALUES})["img"][0, :, 0]
        for addition in additions
    ]
    assert np.array_equal(lookup_tables.addition_tables(additions, threshold), expected)


def test_brightness() -> None:
    expected = [mmcv.adjust_brightness(VALUES, float(factor))[0, :, 0] for factor in FACTORS]
    assert np.array_equal(lookup_tables.brightness_tables(FACTORS), expected)


@pytest.mark.parametrize("size", SIZES)
def test_contrast(size: tuple[int, int]) -> None:
    assert_equals_per_image(lookup_tables.adjust_contrast, mmcv.adjust_contrast, FACTORS, example_images(*size))


@pytest.mark.parametrize("size", SIZES)
def test_contrast_of_a_mean_between_two_values(size: tuple[int, int]) -> None:
    """Half of the pixels are one level brighter: the mean is rounded to the even level, as Python does."""
    darker = np.tile(np.arange(100, 108, dtype=np.uint8)[:, None, None, None], (1, *size, 3))
    images = np.concatenate([darker, darker + 1], axis=1)
    assert_equals_per_image(lookup_tables.adjust_contrast, mmcv.adjust_contrast, np.array([0.0, 0.4, 1.7]), images)


@pytest.mark.parametrize("size", SIZES)
def test_auto_contrast(size: tuple[int, int]) -> None:
    images = example_images(*size)
    found = as_images(lookup_tables.auto_contrast(as_batch(images)))
    assert np.array_equal(found, [mmcv.auto_contrast(image) for image in images])


def test_auto_contrast_of_every_extent() -> None:
    """Channels that hold all values from a smallest to a largest one, for every distance of these and many places."""
    low, high = np.triu_indices(256, k=1)
    some = (low + 7 * high) % 13 == 0
    channels = np.clip(np.arange(256), low[some, None], high[some, None]).astype(np.uint8)
    images = channels[: len(channels) // 3 * 3].reshape(-1, 3, 1, 256).transpose(0, 2, 3, 1)
    assert len(np.unique(high[some] - low[some])) > 240
    found = as_images(lookup_tables.auto_contrast(as_batch(images)))
    assert np.array_equal(found, [mmcv.auto_contrast(image) for image in images])


@pytest.mark.parametrize("size", [*SIZES, (64, 48)])
def test_equalization(size: tuple[int, int]) -> None:
    images = example_images(*size)
    found = as_images(lookup_tables.equalize(as_batch(images)))
    assert np.array_equal(found, [mmcv.imequalize(image) for image in images])
