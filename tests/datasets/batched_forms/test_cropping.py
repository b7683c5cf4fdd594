"""Batched crops and mirror images give the windows and sides of the per-image ones, equally often."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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
