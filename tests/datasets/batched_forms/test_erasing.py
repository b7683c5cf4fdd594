"""Batched Cutout and random erasing give the rectangles of the per-image ones, equally often."""

from __future__ import annotations

from typing import Any

import pytest

from lt_plugins.datasets.batched_forms import batched_form
from lt_plugins.errors import UserInputError
from tests.datasets.batched_forms.outcomes import assert_same_outcomes, build, random_image


@pytest.mark.parametrize("shape", [(8, 8), (6, 9)])
@pytest.mark.parametrize(
    "config",
    [
        dict(type="ClippedCutout", size=4),
        dict(type="ClippedCutout", size=5, pad_val=128, prob=0.4),
        dict(type="ClippedCutout", size=20),
        dict(type="Cutout", shape=4, prob=0.5),
        dict(type="Cutout", shape=5, pad_val=3, prob=1.0),
        dict(type="Cutout", shape=(2, 7), pad_val=(255, 3, 100), prob=0.8),
        dict(type="RandomErasing", erase_prob=1.0, min_area_ratio=0.1, max_area_ratio=0.2, aspect_range=(0.5, 2.0)),
        dict(type="RandomErasing", erase_prob=0.5, fill_color=[1.9, 2, 3], aspect_range=0.3, max_area_ratio=0.9),
    ],
    ids=str,
)
def test_same_outcomes(config: dict[str, Any], shape: tuple[int, int]) -> None:
    assert_same_outcomes(config, random_image(*shape), 20000)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(type="Cutout", magnitude_range=(0, 8)), r"Cutout has no batched form with magnitude_range=\(0, 8\)"),
        (
            dict(type="RandomErasing", mode="rand"),
            "has no batched form with mode='rand'; use mode='const'",
        ),
    ],
)
def test_refused_settings(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        batched_form(build(config))
