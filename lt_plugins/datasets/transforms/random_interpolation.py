"""Geometric operations of RandAugment whose interpolation is drawn for each image."""

from __future__ import annotations

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmpretrain.datasets.transforms import Rotate, Shear, Translate

from lt_plugins.registry import TRANSFORMS


class _RandomInterpolation:
    """Bilinear or bicubic, as in timm's RandAugment and the codes that are built on it, such as PaCo's.

    mmpretrain's operations have one interpolation each: nearest (``Rotate``, ``Translate``) or bicubic (``Shear``).
    """

    interpolations = ("bilinear", "bicubic")
    interpolation: str

    @cache_randomness
    def random_interpolation(self) -> str:
        """Draw the interpolation."""
        return self.interpolations[np.random.randint(len(self.interpolations))]  # noqa: NPY002 (as all transforms)

    def transform(self, results: dict) -> dict:
        """Draw the interpolation, then transform.

        Args:
            results (dict): Annotation with ``img (H, W, C)``.

        Returns:
            dict: The same dict.
        """
        self.interpolation = self.random_interpolation()
        return super().transform(results)  # type: ignore[misc]


@TRANSFORMS.register_module()
class RandomInterpolationRotate(_RandomInterpolation, Rotate):
    """mmpretrain's ``Rotate``, bilinear or bicubic at random. The options are those of ``Rotate``."""


@TRANSFORMS.register_module()
class RandomInterpolationShear(_RandomInterpolation, Shear):
    """mmpretrain's ``Shear``, bilinear or bicubic at random. The options are those of ``Shear``."""


@TRANSFORMS.register_module()
class RandomInterpolationTranslate(_RandomInterpolation, Translate):
    """mmpretrain's ``Translate``, bilinear or bicubic at random. The options are those of ``Translate``."""
