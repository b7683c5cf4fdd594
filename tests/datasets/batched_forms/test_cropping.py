"""Batched crops and mirror images give the windows and sides of the per-image ones, equally often."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mmpretrain.registry import TRANSFORMS
from scipy.stats import ks_2samp

from lt_plugins.augmentation.draws import Draws
from lt_plugins.augmentation.random_resized_crop import RandomResizedCrop
from lt_plugins.datasets.batched_forms import batched_form
from lt_plugins.errors import UserInputError
from tests.datasets.batched_forms.outcomes import assert_same_outcomes, batched, random_image


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        (dict(crop_size=8, padding=2), (8, 8)),
        (dict(crop_size=8, padding=2, pad_val=7), (8, 8)),
        (dict(crop_size=8, padding=2, pad_val=(255, 3, 100)), (8, 8)),
        (dict(crop_size=(5, 6), padding=(1, 2)), (6, 4)),
        (dict(crop_size=(5, 6), padding=(0, 1, 2, 3), padding_mode="reflect"), (6, 5)),
        (dict(crop_size=(4, 7)), (6, 9)),
        (dict(crop_size=(4, 7)), (6, 5)),  # smaller than the window
        (dict(crop_size=6), (6, 6)),
        *[
            (dict(crop_size=(8, 10), pad_if_needed=True, padding_mode=mode, pad_val=(1, 2, 3)), (5, 7))
            for mode in ("constant", "edge", "reflect", "symmetric")
        ],
        (dict(crop_size=9, padding=1, pad_if_needed=True, padding_mode="symmetric"), (4, 8)),
    ],
)
def test_random_crop(settings: dict[str, Any], shape: tuple[int, int]) -> None:
    assert_same_outcomes(dict(type="RandomCrop", **settings), random_image(*shape))


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        (dict(scale=6, crop_ratio_range=(0.2, 1.0)), (5, 6)),
        (dict(scale=(3, 5)), (6, 4)),
        (dict(scale=4, crop_ratio_range=(0.5, 1.5)), (4, 4)),  # some boxes do not fit
        (dict(scale=4, aspect_ratio_range=(1.5, 2.0), crop_ratio_range=(0.5, 1.0), max_attempts=1), (4, 4)),
        (dict(scale=4, max_attempts=0), (8, 3)),
        (dict(scale=4, max_attempts=0), (3, 8)),
        (dict(scale=4, max_attempts=0), (4, 5)),
    ],
)
def test_random_resized_crop(settings: dict[str, Any], shape: tuple[int, int]) -> None:
    assert_same_outcomes(dict(type="RandomResizedCrop", **settings), random_image(*shape), 20000)


def test_boxes_of_a_larger_image() -> None:
    transform = TRANSFORMS.build(dict(type="RandomResizedCrop", scale=32, crop_ratio_range=(0.2, 1.0)))
    form = batched_form(transform)
    assert isinstance(form, RandomResizedCrop)
    np.random.seed(0)  # noqa: NPY002 (the generator of all transforms)
    image = random_image(32, 32)
    expected = np.array([transform.rand_crop_params(image) for _ in range(10000)])
    top, left, height, width = form.draw_boxes(32, 32, Draws.of_images(0, 0, 0, range(10000)))
    found = np.stack([top, left, height, width], axis=1)
    for ours, theirs in zip(found.T, expected.T, strict=True):
        assert ks_2samp(ours, theirs).pvalue > 1e-4
    assert ks_2samp(height * width, expected[:, 2] * expected[:, 3]).pvalue > 1e-4
    assert ks_2samp(height / width, expected[:, 2] / expected[:, 3]).pvalue > 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(interpolation="bicubic"), "with interpolation='bicubic'; use interpolation='bilinear'"),
        (dict(backend="pillow"), "with backend='pillow'; use backend='cv2'"),
    ],
)
def test_refused_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        batched_form(TRANSFORMS.build(dict(type="RandomResizedCrop", scale=4, **settings)))


@pytest.mark.parametrize(
    "settings",
    [
        dict(prob=0.5, direction="horizontal"),
        dict(prob=0.2, direction="vertical"),
        dict(prob=0.7, direction="diagonal"),
        dict(prob=0.5),
        dict(prob=0.6, direction=["horizontal", "vertical", "diagonal"]),
        dict(prob=[0.1, 0.6], direction=["vertical", "horizontal"]),
        dict(prob=1.0, direction="horizontal"),
        dict(prob=0.0, direction="horizontal"),
    ],
)
def test_random_flip(settings: dict[str, Any]) -> None:
    assert_same_outcomes(dict(type="RandomFlip", **settings), random_image(3, 4))


@pytest.mark.parametrize(
    "config", [dict(type="RandomCrop", crop_size=32, padding=4), dict(type="RandomFlip", prob=0.5)], ids=str
)
def test_each_image_by_its_own_draws(config: dict[str, Any]) -> None:
    images = np.stack([random_image(32, 32, seed) for seed in range(20)])
    before = images.copy()
    together = batched(config, images)
    assert len({image.tobytes() for image in together}) == 20
    np.testing.assert_array_equal(images, before)
