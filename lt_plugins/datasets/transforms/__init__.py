"""Transforms that mmcv and mmpretrain lack."""

from .clipped_cutout import ClippedCutout
from .floor_posterize import FloorPosterize
from .load_image import LoadImage
from .random_interpolation import RandomInterpolationRotate, RandomInterpolationShear, RandomInterpolationTranslate

__all__ = [
    "ClippedCutout",
    "FloorPosterize",
    "LoadImage",
    "RandomInterpolationRotate",
    "RandomInterpolationShear",
    "RandomInterpolationTranslate",
]
