"""Compares what a random transform of one image and its batched form can make of an image, and how often."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from lt_plugins.augmentation.draws import Draws
from lt_plugins.datasets.batched_forms import batched_form
from tests.augmentation.images import as_batch, as_images


def random_image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random pixels, ``(H, W, 3)``."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def build(config: dict[str, Any]) -> Any:
    """The transform of one image; those within it are found in mmpretrain's scope, as in a run."""
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        return TRANSFORMS.build(config)


def batched(config: dict[str, Any], images: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    """What the batched form makes of images ``(B, H, W, 3)``."""
    form = batched_form(build(config))
    return as_images(form(as_batch(images), Draws.of_images(seed, 0, 0, range(len(images)))))


def assert_same_outcomes(config: dict[str, Any], image: NDArray[np.uint8], num_draws: int = 5000) -> None:
    """Both make the same images of one image, equally often.

    Args:
        config (dict): A transform with few outcomes, most of which come often.
        image (NDArray): uint8 ``(H, W, 3)``; no two outcomes look the same.
        num_draws (int): How often each is asked.
    """
    np.random.seed(0)  # noqa: NPY002 (the generator of all transforms)
    transform = build(config)
    ours = batched(config, np.broadcast_to(image, (num_draws, *image.shape)))
    counts = Counter(outcome.tobytes() for outcome in ours)
    one_by_one = [transform({"img": image.copy()})["img"] for _ in range(num_draws)]
    assert ours.shape[1:] == one_by_one[0].shape
    expected = Counter(outcome.tobytes() for outcome in one_by_one)
    often = [outcome for outcome in counts | expected if counts[outcome] + expected[outcome] >= 20]
    rows = [[count[outcome] for outcome in often] for count in (counts, expected)]
    table = np.array([[*row, num_draws - sum(row)] for row in rows])  # the last column: all that is rare
    if table.shape[1] > 2:
        assert chi2_contingency(table[:, table.any(axis=0)]).pvalue > 1e-4
    else:
        assert np.array_equal(table[0], table[1])
