"""Batched forms of AutoAugment, RandAugment and their operations, of mmpretrain and of this package."""

from __future__ import annotations

import math
from typing import Any, get_args

from mmpretrain.datasets import transforms as per_image
from mmpretrain.datasets.transforms.auto_augment import BaseAugTransform

from lt_plugins.augmentation import operations
from lt_plugins.augmentation.affine import Fill, Interpolation
from lt_plugins.augmentation.magnitude import Magnitude
from lt_plugins.augmentation.policies import AutoAugment, RandAugment
from lt_plugins.augmentation.random_operations import RandomOperation
from lt_plugins.datasets.batched_forms.forms import batched_form, batched_form_of, refuse_settings
from lt_plugins.datasets.transforms import (
    FloorPosterize,
    RandomInterpolationRotate,
    RandomInterpolationShear,
    RandomInterpolationTranslate,
)
from lt_plugins.errors import UserInputError


@batched_form_of(per_image.AutoAugment)
def auto_augment(transform: per_image.AutoAugment) -> AutoAugment:
    """Translate mmpretrain's ``AutoAugment``, whose sub-policies are equally likely."""
    refuse_settings(transform, prob=None)
    return AutoAugment([[batched_form(step) for step in policy.transforms] for policy in transform.transforms])


@batched_form_of(per_image.RandAugment)
def rand_augment(transform: per_image.RandAugment) -> RandAugment:
    """Translate mmpretrain's ``RandAugment``."""
    return RandAugment([batched_form(step) for step in transform.transforms], transform.num_policies)


@batched_form_of(per_image.AutoContrast, per_image.Equalize, per_image.Invert)
def without_magnitude(transform: BaseAugTransform) -> RandomOperation:
    """Translate mmpretrain's operations that have no magnitude."""
    operation: operations.Operation = {
        per_image.AutoContrast: operations.AutoContrast(),
        per_image.Equalize: operations.Equalize(),
        per_image.Invert: operations.Invert(),
    }[type(transform)]
    return RandomOperation((operation,), Magnitude.fixed(0.0), transform.prob)


@batched_form_of(per_image.Brightness, per_image.ColorTransform, per_image.Contrast, per_image.Sharpness)
def enhancement(transform: BaseAugTransform) -> RandomOperation:
    """Translate mmpretrain's operations whose magnitude moves a factor from 1."""
    operation: operations.Operation = {
        per_image.Brightness: operations.Brightness(),
        per_image.ColorTransform: operations.Saturation(),
        per_image.Contrast: operations.Contrast(),
        per_image.Sharpness: operations.Sharpness(),
    }[type(transform)]
    return RandomOperation((operation,), _magnitude(transform, "magnitude"), transform.prob)


@batched_form_of(per_image.Posterize, FloorPosterize)
def posterize(transform: per_image.Posterize) -> RandomOperation:
    """Translate mmpretrain's ``Posterize``, and ours, which rounds down what it draws."""
    magnitude = _magnitude(transform, "bits")
    if magnitude.bounds()[1] > 8:
        raise _refusal(transform, "magnitude_range", "at most 8 bits")
    floor = isinstance(transform, FloorPosterize) and transform.bits is None
    return RandomOperation((operations.Posterize(floor),), magnitude, transform.prob)


@batched_form_of(per_image.Solarize)
def solarize(transform: per_image.Solarize) -> RandomOperation:
    """Translate mmpretrain's ``Solarize``."""
    return RandomOperation((operations.Solarize(),), _magnitude(transform, "thr"), transform.prob)


@batched_form_of(per_image.SolarizeAdd)
def solarize_add(transform: per_image.SolarizeAdd) -> RandomOperation:
    """Translate mmpretrain's ``SolarizeAdd``; what wraps around from 255 to 0 there is refused."""
    name = "magnitude_range" if transform.magnitude is None else "magnitude"
    magnitude = _magnitude(transform, "magnitude")
    if magnitude.bounds()[0] < 0:
        raise _refusal(transform, name, "nothing negative")
    if isinstance(transform.magnitude, int) and min(math.ceil(transform.thr), 256) - 1 + transform.magnitude > 255:
        raise _refusal(transform, name, f"{float(transform.magnitude)}, which stops at 255")
    return RandomOperation((operations.SolarizeAdd(transform.thr),), magnitude, transform.prob)


@batched_form_of(per_image.GaussianBlur)
def gaussian_blur(transform: per_image.GaussianBlur) -> RandomOperation:
    """Translate mmpretrain's ``GaussianBlur``."""
    magnitude = _magnitude(transform, "radius")
    if magnitude.bounds()[0] < 0:
        raise _refusal(transform, "magnitude_range" if transform.radius is None else "radius", "nothing negative")
    return RandomOperation((operations.GaussianBlur(),), magnitude, transform.prob)


@batched_form_of(per_image.Rotate, RandomInterpolationRotate)
def rotate(transform: per_image.Rotate) -> RandomOperation:
    """Translate mmpretrain's ``Rotate``, and ours, which draws the interpolation."""
    if transform.scale == 0:
        raise _refusal(transform, "scale", "another number")
    # OpenCV takes a single number for the blue channel, and fills the others with 0.
    fill = _fill(transform, lambda value: (value, 0, 0))
    return RandomOperation(
        tuple(
            operations.Rotate(interpolation, fill, transform.center, transform.scale)
            for interpolation in _interpolations(transform)
        ),
        _magnitude(transform, "angle"),
        transform.prob,
    )


@batched_form_of(per_image.Shear, per_image.Translate, RandomInterpolationShear, RandomInterpolationTranslate)
def shear_or_translate(transform: per_image.Shear | per_image.Translate) -> RandomOperation:
    """Translate mmpretrain's ``Shear`` and ``Translate``, and ours, which draw the interpolation."""
    operation = operations.Shear if isinstance(transform, per_image.Shear) else operations.Translate
    fill = _fill(transform, lambda value: (value, value, value))
    return RandomOperation(
        tuple(operation(interpolation, fill, transform.direction) for interpolation in _interpolations(transform)),
        _magnitude(transform, "magnitude"),
        transform.prob,
    )


def _magnitude(transform: BaseAugTransform, name: str) -> Magnitude:
    """Take over how a magnitude is drawn; ``name`` is the attribute that fixes it."""
    value = getattr(transform, name)
    if value is not None:
        return Magnitude.fixed(float(value), transform.random_negative_prob)
    low, high = transform.magnitude_range
    return Magnitude(
        low,
        high,
        level=transform.magnitude_level,
        level_std=max(0.0, float(transform.magnitude_std)),
        total_level=transform.total_level,
        negative_prob=transform.random_negative_prob,
    )


def _interpolations(transform: Any) -> tuple[Interpolation, ...]:
    drawn = isinstance(transform, (RandomInterpolationRotate, RandomInterpolationShear, RandomInterpolationTranslate))
    names = transform.interpolations if drawn else (transform.interpolation,)
    known = get_args(Interpolation)
    if not set(names) <= set(known):
        raise _refusal(transform, "interpolation", " or ".join(map(repr, known)))
    return names


def _fill(transform: Any, of_number: Any) -> Fill:
    value = transform.pad_val
    fill = of_number(value) if isinstance(value, int) else value
    if not (isinstance(fill, tuple) and len(fill) == 3 and all(isinstance(v, int) and 0 <= v <= 255 for v in fill)):
        raise _refusal(transform, "pad_val", "whole numbers from 0 to 255, one or three")
    return fill


def _refusal(transform: Any, name: str, expected: str) -> UserInputError:
    return UserInputError(
        f"{type(transform).__name__} has no batched form with {name}={getattr(transform, name)!r}; use {expected}, or "
        "--no-resident."
    )
