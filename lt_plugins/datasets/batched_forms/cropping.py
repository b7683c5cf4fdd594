"""Batched forms of crops and mirror images."""

from __future__ import annotations

import mmcv
import numpy as np
from mmcv.transforms import RandomFlip as MMCVRandomFlip
from mmpretrain.datasets.transforms import RandomCrop as MMPretrainRandomCrop
from mmpretrain.datasets.transforms import RandomResizedCrop as MMPretrainRandomResizedCrop

from lt_plugins.augmentation.random_crop import RandomCrop
from lt_plugins.augmentation.random_flip import RandomFlip
from lt_plugins.augmentation.random_resized_crop import RandomResizedCrop
from lt_plugins.datasets.batched_forms.forms import batched_form_of, refuse_settings


@batched_form_of(MMPretrainRandomCrop)
def random_crop(transform: MMPretrainRandomCrop) -> RandomCrop:
    """Translate mmpretrain's ``RandomCrop``; its ``padding_mode`` is that of ``pad_if_needed`` alone."""
    padding = np.ravel(0 if transform.padding is None else transform.padding).tolist()
    left, above, right, below = padding * (4 // len(padding))
    # A single number fills the first channel alone, as OpenCV reads it.
    pixel = mmcv.impad(np.zeros((1, 1, 3), dtype=np.uint8), padding=(1, 0, 0, 0), pad_val=transform.pad_val)[0, 0]
    return RandomCrop(
        size=tuple(transform.crop_size),
        padding=(left, above, right, below),
        fill=tuple(pixel.tolist()),
        pad_if_needed=transform.pad_if_needed,
        padding_mode=transform.padding_mode,
    )


@batched_form_of(MMPretrainRandomResizedCrop)
def random_resized_crop(transform: MMPretrainRandomResizedCrop) -> RandomResizedCrop:
    """Translate mmpretrain's ``RandomResizedCrop`` by OpenCV, bilinear."""
    refuse_settings(transform, interpolation="bilinear", backend="cv2")
    return RandomResizedCrop(
        tuple(transform.scale),
        tuple(transform.crop_ratio_range),
        tuple(transform.aspect_ratio_range),
        transform.max_attempts,
    )


@batched_form_of(MMCVRandomFlip)
def random_flip(transform: MMCVRandomFlip) -> RandomFlip:
    """Translate mmcv's ``RandomFlip``, which shares one probability among several directions."""
    directions = [transform.direction] if isinstance(transform.direction, str) else transform.direction
    shares = (
        transform.prob if isinstance(transform.prob, list) else [transform.prob / len(directions)] * len(directions)
    )
    probs = dict.fromkeys(directions, 0.0)
    for direction, prob in zip(directions, shares, strict=True):
        probs[direction] += prob
    return RandomFlip(**probs)
