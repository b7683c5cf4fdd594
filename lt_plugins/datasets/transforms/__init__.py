"""Transforms that mmcv and mmpretrain lack."""

from lt_plugins.datasets.transforms.load_image import LoadImage

__all__ = ["LoadImage"]
