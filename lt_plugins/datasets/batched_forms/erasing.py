"""Batched forms of transforms that erase a rectangle."""

from __future__ import annotations

import numpy as np
from mmpretrain.datasets.transforms import Cutout as MMPretrainCutout
from mmpretrain.datasets.transforms import RandomErasing as MMPretrainRandomErasing
from numpy.typing import ArrayLike

from lt_plugins.augmentation.erasing import ClippedCutout, Colour, Cutout, RandomErasing
from lt_plugins.datasets.batched_forms.forms import batched_form_of, refuse_settings
from lt_plugins.datasets.transforms import ClippedCutout as PerImageClippedCutout


@batched_form_of(PerImageClippedCutout)
def clipped_cutout(transform: PerImageClippedCutout) -> ClippedCutout:
    """Translate our ``ClippedCutout``."""
    return ClippedCutout(transform.size, _colour(transform.pad_val), transform.prob)


@batched_form_of(MMPretrainCutout)
def cutout(transform: MMPretrainCutout) -> Cutout:
    """Translate mmpretrain's ``Cutout`` of a fixed shape."""
    refuse_settings(transform, magnitude_range=None)
    height, width = np.broadcast_to(transform.shape, 2).tolist()
    return Cutout((height, width), _colour(transform.pad_val), transform.prob)


@batched_form_of(MMPretrainRandomErasing)
def random_erasing(transform: MMPretrainRandomErasing) -> RandomErasing:
    """Translate mmpretrain's ``RandomErasing`` with a constant colour."""
    refuse_settings(transform, mode="const")
    return RandomErasing(
        transform.erase_prob,
        (transform.min_area_ratio, transform.max_area_ratio),
        tuple(transform.aspect_range),
        _colour(transform.fill_color),
    )


def _colour(value: ArrayLike) -> Colour:
    blue, green, red = np.broadcast_to(np.array(value).astype(np.uint8), 3).tolist()
    return blue, green, red
