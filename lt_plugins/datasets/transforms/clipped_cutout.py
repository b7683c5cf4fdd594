"""Cutout as it was published: the square may hang over any border."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from lt_plugins.errors import UserInputError
from lt_plugins.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ClippedCutout(BaseTransform):
    """Erase a square around a random pixel; what lies outside of the image is clipped.

    Every pixel is equally often the centre, so that a square of 16 erases 19.1 % of a 32x32 image on average.
    mmpretrain's ``Cutout`` moves a square that would hang over the top or the left border inside instead, which erases
    22.3 %.

    Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout"
    (arXiv:1708.04552), as in PaCo's released code.

    Args:
        size (int): Side of the square in pixels. Defaults to 16.
        pad_val (int): Value of erased pixels. Defaults to 0.
        prob (float): Probability that an image is changed. Defaults to 1.

    Raises:
        UserInputError: If ``size`` is not positive or ``prob`` not in ``[0, 1]``.

    Examples:
        >>> train_pipeline = [dict(type='LoadImage'), dict(type='ClippedCutout', size=16), dict(type='PackInputs')]
    """

    def __init__(self, size: int = 16, pad_val: int = 0, prob: float = 1.0) -> None:
        if size <= 0 or not 0 <= prob <= 1:
            raise UserInputError(f"size={size} must be positive and prob={prob} in [0, 1].")
        self.size = size
        self.pad_val = pad_val
        self.prob = prob

    @cache_randomness
    def random_centre(self, height: int, width: int) -> tuple[int, int] | None:
        """Draw row and column of the centre; None if the image stays as it is.

        Args:
            height (int): Height of the image.
            width (int): Width of the image.
        """
        if np.random.rand() >= self.prob:  # noqa: NPY002 (the generator of all transforms, which epochs seed)
            return None
        return np.random.randint(height), np.random.randint(width)  # noqa: NPY002

    def transform(self, results: dict) -> dict:
        """Erase the square.

        Args:
            results (dict): Annotation with ``img (H, W, C)``.

        Returns:
            dict: The same dict; ``img`` is a new array.
        """
        height, width = results["img"].shape[:2]
        centre = self.random_centre(height, width)
        if centre is None:
            return results
        top, left = (place - self.size // 2 for place in centre)
        image = results["img"].copy()
        image[max(top, 0) : top + self.size, max(left, 0) : left + self.size] = self.pad_val
        results["img"] = image
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, pad_val={self.pad_val}, prob={self.prob})"
