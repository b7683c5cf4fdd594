"""Transforms that mmcv and mmpretrain lack."""

from lt_plugins.datasets.transforms.clipped_cutout import ClippedCutout
from lt_plugins.datasets.transforms.floor_posterize import FloorPosterize
from lt_plugins.datasets.transforms.load_image import LoadImage
from lt_plugins.datasets.transforms.random_interpolation import (
    RandomInterpolationRotate,
    RandomInterpolationShear,
    RandomInterpolationTranslate,
)

__all__ = [
    "ClippedCutout",
    "FloorPosterize",
    "LoadImage",
    "RandomInterpolationRotate",
    "RandomInterpolationShear",
    "RandomInterpolationTranslate",
]
