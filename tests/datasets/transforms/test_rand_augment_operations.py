"""RandAugment as in PaCo's code: interpolation bilinear or bicubic at random, posterisation rounded down."""

from __future__ import annotations

from collections import Counter
from typing import Any

import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from mmpretrain.registry import TRANSFORMS

import lt_plugins.plugins  # noqa: F401 (registers)
from lt_plugins.datasets.transforms import FloorPosterize

OPERATIONS: dict[str, Any] = {
    "RandomInterpolationRotate": lambda image, mode: mmcv.imrotate(
        image, 20, border_value=(0, 0, 0), interpolation=mode
    ),
    "RandomInterpolationShear": lambda image, mode: mmcv.imshear(
        image, 0.2, direction="horizontal", border_value=(0, 0, 0), interpolation=mode
    ),
    "RandomInterpolationTranslate": lambda image, mode: mmcv.imtranslate(
        image, 0.19 * image.shape[1], direction="horizontal", border_value=(0, 0, 0), interpolation=mode
    ),
}
MAGNITUDES: dict[str, dict[str, float]] = {
    "Rotate": {"angle": 20},
    "Shear": {"magnitude": 0.2},
    "Translate": {"magnitude": 0.19},
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_interpolation_is_bilinear_or_bicubic_at_random(name: str) -> None:
    np.random.seed(0)  # noqa: NPY002 (what mmcv's transforms draw from)
    image = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    transform = TRANSFORMS.build(
        dict(
            type=name,
            prob=1.0,
            random_negative_prob=0.0,
            pad_val=(0, 0, 0),
            **MAGNITUDES[name.removeprefix("RandomInterpolation")],
        )
    )
    expected = {mode: OPERATIONS[name](image, mode) for mode in ("bilinear", "bicubic")}
    assert not np.array_equal(expected["bilinear"], expected["bicubic"])
    found: Counter[str] = Counter()
    for _ in range(200):
        result = transform({"img": image.copy()})["img"]
        found.update(mode for mode, one in expected.items() if np.array_equal(result, one))
    assert found.total() == 200
    assert min(found.values()) > 70, found


def test_posterise_rounds_down() -> None:
    np.random.seed(0)  # noqa: NPY002
    posterise = FloorPosterize(magnitude_level=10, magnitude_range=(0, 4), magnitude_std=0.5, prob=1.0)
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    levels = Counter(len(np.unique(posterise({"img": image.copy()})["img"])) for _ in range(400))
    # Level N(10, 0.5) clipped at 10: half of the draws are 10, and int(level / 10 * 4) of the others is 3.
    assert set(levels) == {16, 8}
    assert levels[8] / 400 == pytest.approx(0.5, abs=0.08)


def test_paco_uses_them() -> None:
    """All four geometric operations of the recipe, filled with the mean colour."""
    policies = Config.fromfile("configs/_base_/pipelines/paco_imagenet.py").rand_augment
    built = TRANSFORMS.build(policies)
    names = [type(transform).__name__ for transform in built.transforms]
    assert len(names) == 15
    assert [name for name in names if "Interpolation" in name] == [
        "RandomInterpolationRotate",
        *["RandomInterpolationShear"] * 2,
        *["RandomInterpolationTranslate"] * 2,
    ]
    assert "FloorPosterize" in names
    assert all(transform.pad_val == (104, 116, 124) for transform in built.transforms if hasattr(transform, "pad_val"))
